//! What compiling a module would cost. The compiler has no budget of its own: a function of a few kilobytes can take it
//! gigabytes, and the process with it, before any limit of the running module counts.

use thiserror::Error;
use wasmparser::{BinaryReaderError, FuncToValidate, FunctionBody, Operator, Parser, ValidPayload, Validator};
use wasmparser::{FuncValidatorAllocations, ValidatorResources, WasmFeatures};

/// The longest function, in bytes. OPA's own reach 4 KiB.
const FUNCTION_BYTES: usize = 128 << 10;
/// How deeply its blocks may be nested. OPA's own reach 33.
const DEPTH: u32 = 256;
/// What a jump or the beginning of a block costs by itself, as so many values: 36,000 of them took 300 MB.
const PLACE: u64 = 8;
/// What one function may cost. The compiler keeps about a kilobyte for each value that may live across a jump or the
/// beginning of a block, so memory grows with their product: some 100 MB here. OPA's own functions reach 20,000.
const FUNCTION_COST: u64 = 100_000;
/// What the whole module may cost, which is time: a minute or two here. OPA's runtime costs 400,000.
const MODULE_COST: u64 = 2_500_000;

/// Why a module is not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ComplexityError {
    /// It is no WebAssembly.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// One function is too long.
    #[error(
        "its function {function} has {bytes} bytes: {FUNCTION_BYTES} at most; divide the rule, or move its tables into the module's `data` file or its `settings` (policies/README.md)"
    )]
    Long {
        /// Which, in the module's order.
        function: usize,
        /// How long it is.
        bytes: usize,
    },
    /// One function has too many values across too many jumps, or too deep blocks.
    #[error("its function {function} is too complex to compile: divide the rule")]
    Function {
        /// Which, in the module's order.
        function: usize,
    },
    /// All functions together.
    #[error("it is too complex to compile: divide it into modules")]
    Module,
}

impl From<BinaryReaderError> for ComplexityError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Refuses a module that would take the compiler too much memory or time.
pub(super) fn check(wasm: &[u8]) -> Result<(), ComplexityError> {
    let mut validator = Validator::new_with_features(WasmFeatures::default() - WasmFeatures::MULTI_VALUE);
    let (mut function, mut total) = (0, 0_u64);
    for payload in Parser::new(0).parse_all(wasm) {
        let ValidPayload::Func(code, body) = validator.payload(&payload?)? else { continue };
        let bytes = body.range().len();
        if bytes > FUNCTION_BYTES {
            return Err(ComplexityError::Long { function, bytes });
        }
        let cost = cost(code, &body)?;
        if cost > FUNCTION_COST {
            return Err(ComplexityError::Function { function });
        }
        total = total.saturating_add(cost);
        if total > MODULE_COST {
            return Err(ComplexityError::Module);
        }
        function += 1;
    }
    Ok(())
}

/// The sum, over all jumps and blocks, of the values that live there; no more than is needed to know that it is too much.
fn cost(code: FuncToValidate<ValidatorResources>, body: &FunctionBody<'_>) -> Result<u64, ComplexityError> {
    let mut checked = code.into_validator(FuncValidatorAllocations::default());
    let mut reader = body.get_binary_reader();
    checked.read_locals(&mut reader)?;
    let locals = u64::from(checked.len_locals());
    let mut cost = 0_u64;
    while !reader.eof() && cost <= FUNCTION_COST {
        let position = reader.original_position();
        let operator = reader.peek_operator(&checked.visitor(position))?;
        let places = match &operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::Return => 1,
            Operator::BrTable { targets } => u64::from(targets.len()) + 1,
            _ => 0,
        };
        if checked.control_stack_height() > DEPTH {
            return Ok(u64::MAX);
        }
        let values = PLACE + locals + u64::from(checked.operand_stack_height());
        reader.visit_operator(&mut checked.visitor(position))??;
        cost = cost.saturating_add(places * values);
    }
    Ok(cost)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by panicking")]
mod tests {
    use super::*;

    /// A function with so many locals and blocks, each of which a jump leaves.
    fn module(locals: usize, blocks: usize, nested: bool) -> Vec<u8> {
        let (open, close) = ("(loop local.get 0 (if (then br 1)) ", ")");
        let body =
            if nested { open.repeat(blocks) + &close.repeat(blocks) } else { format!("{open}{close}").repeat(blocks) };
        let locals = "(local i32)".repeat(locals);
        wat::parse_str(format!("(module (func {locals} {body}))")).unwrap()
    }

    #[test]
    fn a_function_that_would_take_the_compiler_gigabytes_is_refused() {
        for wasm in
            [module(2000, 20_000, false), module(300, 200, true), module(1, 300, true), module(10, 60_000, false)]
        {
            assert!(wasm.len() < 1 << 20);
            let refused = check(&wasm).unwrap_err();
            assert!(matches!(refused, ComplexityError::Function { function: 0 } | ComplexityError::Long { .. }));
        }
        assert_eq!(check(&module(50, 200, true)), Ok(()));
    }

    #[test]
    fn values_on_the_stack_count_as_locals_do() {
        let held = "i32.const 1 ".repeat(1000);
        let wasm = format!("(module (func {held} {} {}))", "(block br 0)".repeat(1000), "drop ".repeat(1000));
        assert_eq!(check(&wat::parse_str(wasm).unwrap()), Err(ComplexityError::Function { function: 0 }));
    }

    #[test]
    fn blocks_without_any_value_count_too() {
        let wasm = format!("(module (func {}))", "(block br 0)".repeat(18_000));
        assert_eq!(check(&wat::parse_str(wasm).unwrap()), Err(ComplexityError::Function { function: 0 }));
    }

    #[test]
    fn many_functions_are_refused_together() {
        let function = format!("(func {} {})", "(local i32)".repeat(100), "(block br 0)".repeat(450));
        let wasm = wat::parse_str(format!("(module {})", function.repeat(60))).unwrap();
        assert_eq!(check(&wasm), Err(ComplexityError::Module));
    }

    #[test]
    fn what_is_no_module_is_told() {
        assert!(matches!(check(b"\0asm\x01\0\0\0\x01"), Err(ComplexityError::Invalid(_))));
    }
}

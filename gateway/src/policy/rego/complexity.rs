//! What compiling a module would cost. The compiler has no budget of its own: a function of a few kilobytes can take it
//! gigabytes, and the process with it, before any limit of the running module counts.

use thiserror::Error;
use wasmparser::{BinaryReader, BinaryReaderError, FuncToValidate, FuncValidator, FuncValidatorAllocations};
use wasmparser::{FunctionBody, Operator, Parser, Payload, ValidPayload, Validator, ValidatorResources, WasmFeatures};

use crate::policy::engine;

/// What a module begins with: a magic number and a version.
const HEADER_BYTES: usize = 8;
/// The longest function, in bytes. OPA's own reach 4 KiB.
const FUNCTION_BYTES: usize = 128 << 10;
/// How deeply its blocks may be nested. OPA's own reach 33.
const DEPTH: u32 = 256;
/// What a jump or the beginning of a block costs by itself, as so many values: 36,000 of them took 300 MB.
const PLACE: u64 = 8;
/// What one function may cost. The compiler keeps about a kilobyte for each value that may live across a jump or the
/// beginning of a block, so memory grows with their product: some 100 MB here. OPA's own functions reach 20,000.
const FUNCTION_COST: u64 = 100_000;
/// What a function costs however little it does: 100,000 empty ones took 7 s and 560 MB, and twice that in a table.
const FUNCTION: u64 = 60;
/// What so many of a function's parameters and locals cost one: 2,000,000 took 0.2 s.
const LOCALS: u64 = 64;
/// What so many bytes of types, imports, exports, globals and the like cost one: 100,000 exports took 36 MB.
const ENTRY_BYTES: u64 = 4;
/// What so many bytes that are only copied cost one, of data and of sections that mean nothing to the compiler.
const COPIED_BYTES: u64 = 1 << 10;
/// How many elements a table may begin with, as at run time: the compiler writes out each.
const TABLE_ELEMENTS: u64 = engine::TABLE_ELEMENTS as u64;
/// What the whole module may cost: half a minute and 500 MB at the worst. OPA's runtime costs 700,000.
const MODULE_COST: u64 = 2_500_000;

/// Where a table may be that is too long for the rules.
const TABLES: &str = "move its tables into the module's `data` file or its `settings` (policies/README.md)";

/// Why a module is not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ComplexityError {
    /// It is no WebAssembly.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// One function is too long.
    #[error("its function {function} has {bytes} bytes: {FUNCTION_BYTES} at most; divide the rule, or {TABLES}")]
    Long {
        /// Which, in the module's order.
        function: usize,
        /// How long it is.
        bytes: usize,
    },
    /// One function has too many values across too many jumps, or too deep blocks.
    #[error("its function {function} is too complex to compile: divide the rule, or {TABLES}")]
    Function {
        /// Which, in the module's order.
        function: usize,
    },
    /// Its table is too long.
    #[error("its table begins with {elements} elements: {TABLE_ELEMENTS} at most")]
    Table {
        /// How many it begins with.
        elements: u64,
    },
    /// All of it together.
    #[error("it is too much to compile, at a cost of more than {MODULE_COST}: divide it into modules, or {TABLES}")]
    Module,
}

impl From<BinaryReaderError> for ComplexityError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// What it costs to compile a module. One that would take the compiler too much memory or time is refused.
pub(in crate::policy) fn cost(wasm: &[u8]) -> Result<u64, ComplexityError> {
    check_sections(wasm)?;
    let mut validator = Validator::new_with_features(WasmFeatures::default() - WasmFeatures::MULTI_VALUE);
    let (mut function, mut total) = (0, 0_u64);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        total += match validator.payload(&payload)? {
            ValidPayload::Func(code, body) => {
                function += 1;
                function_cost(function - 1, code, &body)?
            }
            _ => section_cost(&payload)?,
        };
        if total > MODULE_COST {
            return Err(ComplexityError::Module);
        }
    }
    Ok(total)
}

/// Checks that each section ends within the module. One that was cut short is refused before its functions are read.
fn check_sections(wasm: &[u8]) -> Result<(), BinaryReaderError> {
    let mut reader = BinaryReader::new(wasm, 0);
    reader.read_bytes(HEADER_BYTES.min(wasm.len()))?;
    while !reader.eof() {
        reader.read_u8()?;
        let length = reader.read_var_u32()?;
        reader.read_bytes(length as usize)?;
    }
    Ok(())
}

/// What a section costs by its length; that of the functions costs nothing besides them.
fn section_cost(section: &Payload<'_>) -> Result<u64, ComplexityError> {
    if let Payload::TableSection(tables) = section {
        for table in tables.clone() {
            let elements = table?.ty.initial;
            if elements > TABLE_ELEMENTS {
                return Err(ComplexityError::Table { elements });
            }
        }
    }
    let bytes_for_one = match section {
        Payload::CodeSectionStart { .. } => return Ok(0),
        Payload::DataSection(_) | Payload::CustomSection(_) => COPIED_BYTES,
        _ => ENTRY_BYTES,
    };
    let bytes = section.as_section().map_or(0, |(_, range)| range.len());
    Ok(bytes as u64 / bytes_for_one)
}

/// What the function of this number costs.
fn function_cost(
    function: usize,
    code: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<u64, ComplexityError> {
    let bytes = body.range().len();
    if bytes > FUNCTION_BYTES {
        return Err(ComplexityError::Long { function, bytes });
    }
    let mut checked = code.into_validator(FuncValidatorAllocations::default());
    let mut reader = body.get_binary_reader();
    checked.read_locals(&mut reader)?;
    let locals = u64::from(checked.len_locals());
    let live = live_cost(&mut checked, &mut reader)?;
    if live > FUNCTION_COST {
        return Err(ComplexityError::Function { function });
    }
    // At the worst, as for conversions of floats, the compiler takes 5 µs for a byte of code.
    Ok(FUNCTION + locals / LOCALS + bytes as u64 + live)
}

/// The sum, over all jumps and blocks, of the values that live there; no more than is needed to know that it is
/// too much.
fn live_cost(
    checked: &mut FuncValidator<ValidatorResources>,
    reader: &mut BinaryReader<'_>,
) -> Result<u64, ComplexityError> {
    let locals = u64::from(checked.len_locals());
    let mut cost = 0_u64;
    while !reader.eof() && cost <= FUNCTION_COST {
        let position = reader.original_position();
        let operator = reader.peek_operator(&checked.visitor(position))?;
        let places = places(&operator);
        if checked.control_stack_height() > DEPTH {
            return Ok(u64::MAX);
        }
        let values = PLACE + locals + u64::from(checked.operand_stack_height());
        reader.visit_operator(&mut checked.visitor(position))??;
        cost = cost.saturating_add(places * values);
    }
    Ok(cost)
}

/// How many jumps and beginnings of blocks the compiler makes of an operator.
fn places(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::Return => 1,
        Operator::BrTable { targets } => u64::from(targets.len()) + 1,
        // 8,000 of them took 1.4 s and 96 MB.
        Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } | Operator::TableGet { .. } => 4,
        Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => 2,
        _ => 0,
    }
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
            let refused = cost(&wasm).unwrap_err();
            assert!(matches!(refused, ComplexityError::Function { function: 0 } | ComplexityError::Long { .. }));
        }
        assert!(cost(&module(50, 200, true)).is_ok());
    }

    #[test]
    fn values_on_the_stack_count_as_locals_do() {
        let held = "i32.const 1 ".repeat(1000);
        let wasm = format!("(module (func {held} {} {}))", "(block br 0)".repeat(1000), "drop ".repeat(1000));
        assert_eq!(cost(&wat::parse_str(wasm).unwrap()), Err(ComplexityError::Function { function: 0 }));
    }

    #[test]
    fn blocks_without_any_value_count_too() {
        let wasm = format!("(module (func {}))", "(block br 0)".repeat(18_000));
        assert_eq!(cost(&wat::parse_str(wasm).unwrap()), Err(ComplexityError::Function { function: 0 }));
    }

    #[test]
    fn many_functions_are_refused_together() {
        let function = format!("(func {} {})", "(local i32)".repeat(100), "(block br 0)".repeat(450));
        let wasm = wat::parse_str(format!("(module {})", function.repeat(60))).unwrap();
        assert_eq!(cost(&wasm), Err(ComplexityError::Module));
    }

    fn leb(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
        bytes
    }

    /// A module of so many functions, each with so many locals and nothing else.
    fn functions(count: usize, locals: usize) -> Vec<u8> {
        let body = [vec![1], leb(locals), vec![0x7f, 0x0b]].concat();
        let body = [leb(body.len()), body].concat();
        let section = |id: u8, content: Vec<u8>| [vec![id], leb(content.len()), content].concat();
        let types = section(1, vec![1, 0x60, 0, 0]);
        let signatures = section(3, [leb(count), vec![0; count]].concat());
        let code = section(10, [leb(count), body.repeat(count)].concat());
        [b"\0asm\x01\0\0\0".to_vec(), types, signatures, code].concat()
    }

    #[test]
    fn tiny_functions_and_their_locals_are_refused_together() {
        assert!(cost(&functions(1_000, 1)).is_ok_and(|cost| cost > 60_000));
        for wasm in [functions(50_000, 1), functions(5_000, 50_000)] {
            assert!(wasm.len() < 1 << 20);
            assert_eq!(cost(&wasm), Err(ComplexityError::Module));
        }
    }

    #[test]
    fn calls_through_a_table_and_growing_memory_count() {
        for operation in ["(call_indirect (i32.const 0))", "(drop (memory.grow (i32.const 0)))"] {
            let wasm = format!("(module (table 1 funcref) (memory 1) (func {}))", operation.repeat(8_000));
            let refused = cost(&wat::parse_str(wasm).unwrap());
            assert_eq!(refused, Err(ComplexityError::Function { function: 0 }), "{operation}");
        }
    }

    #[test]
    fn what_is_no_function_counts_by_its_length() {
        let cost_of = |more: &str| cost(&wat::parse_str(format!("(module (func $f) {more})")).unwrap()).unwrap();
        let none = cost_of("");
        let exports: Vec<_> = (0..10_000).map(|number| format!("(export \"{number:05}\" (func $f))")).collect();
        assert_eq!(cost_of(&exports.concat()) - none, 8 * 10_000 / ENTRY_BYTES);
        let data = cost_of(&format!("(memory 1) (data (i32.const 0) \"{}\")", "x".repeat(20 << 10)));
        assert!((20..30).contains(&(data - none)), "copied bytes cost little: {}", data - none);
    }

    #[test]
    fn a_table_longer_than_a_module_may_have_it_is_refused() {
        let table = |elements: u64| cost(&wat::parse_str(format!("(module (table {elements} funcref))")).unwrap());
        assert!(table(TABLE_ELEMENTS).is_ok());
        assert_eq!(table(TABLE_ELEMENTS + 1), Err(ComplexityError::Table { elements: TABLE_ELEMENTS + 1 }));
    }

    #[test]
    fn what_is_no_module_is_told() {
        assert!(matches!(cost(b"\0asm\x01\0\0\0\x01"), Err(ComplexityError::Invalid(_))));
    }
}

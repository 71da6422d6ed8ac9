//! Options of the client before its command, as in `scalegate -n demo get web`.
//!
//! clap takes a command's options only after it, so they are moved there. What is not understood stays where it is, and
//! clap says what is wrong with it.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// The same arguments, where options before one of `commands` stand after it.
pub(super) fn moved(commands: &Command, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let words = arguments.get(1..).unwrap_or_default();
    let options = leading(commands, words);
    let command = command(commands, words.get(options..).unwrap_or_default());
    if command > 0 {
        arguments[1..=options + command].rotate_left(options);
    }
    arguments
}

/// How many of the words are options before anything else, and their values.
fn leading(commands: &Command, words: &[OsString]) -> usize {
    let mut count = 0;
    while let Some(more) = words.get(count).and_then(|word| option(commands, word)) {
        count += more;
    }
    count
}

/// How many words an option takes, with its value; `None` for what is no option of the commands.
fn option(commands: &Command, word: &OsStr) -> Option<usize> {
    let word = word.to_string_lossy();
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split('=').next();
        let arg = find(commands, &|arg| arg.get_long().is_some() && arg.get_long() == name)?;
        return Some(if takes_next(arg) && !long.contains('=') { 2 } else { 1 });
    }
    let mut letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?.chars();
    while let Some(letter) = letters.next() {
        let arg = find(commands, &|arg| arg.get_short() == Some(letter))?;
        if arg.get_action().takes_values() {
            return Some(if letters.as_str().is_empty() { 2 } else { 1 });
        }
    }
    Some(1)
}

/// Returns whether the next word is the option's value.
fn takes_next(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

fn find<'a>(command: &'a Command, wanted: &dyn Fn(&Arg) -> bool) -> Option<&'a Arg> {
    let inner = || command.get_subcommands().find_map(|inner| find(inner, wanted));
    command.get_arguments().find(|arg| wanted(arg)).or_else(inner)
}

/// How many words name a command, as `config set-context` does.
fn command(commands: &Command, words: &[OsString]) -> usize {
    let Some((first, rest)) = words.split_first() else { return 0 };
    commands.find_subcommand(first).map_or(0, |inner| 1 + command(inner, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::client;

    fn line(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let moved = moved(&client::commands(), words);
        moved.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_before_a_command_follow_it() {
        for (before, after) in [
            ("scalegate -n demo get web", "scalegate get -n demo web"),
            ("scalegate --context prod -o json list", "scalegate list --context prod -o json"),
            ("scalegate -ndemo --output=wide get web", "scalegate get -ndemo --output=wide web"),
            ("scalegate -Ao wide list", "scalegate list -Ao wide"),
            ("scalegate -Aowide watch -l a=b", "scalegate watch -Aowide -l a=b"),
            ("scalegate --dry-run --wait=5s set web 5", "scalegate set --dry-run --wait=5s web 5"),
            ("scalegate --wait set web 5", "scalegate set --wait web 5"),
            ("scalegate -n demo config set-context dev", "scalegate config set-context -n demo dev"),
        ] {
            assert_eq!(line(before), after);
        }
    }

    #[test]
    fn what_is_not_understood_stays() {
        for same in [
            "scalegate",
            "scalegate get -n demo web",
            "scalegate --version",
            "scalegate -h get",
            "scalegate -n",
            "scalegate -n get",
            "scalegate -x get web",
            "scalegate --none get web",
            "scalegate -- get",
            "scalegate - get",
            "scalegate -n demo serve",
        ] {
            assert_eq!(line(same), same);
        }
        assert!(moved(&client::commands(), Vec::new()).is_empty());
    }

    fn options(command: &Command, found: &mut BTreeMap<String, bool>) {
        for arg in command.get_arguments() {
            let names = [arg.get_long().map(str::to_owned), arg.get_short().map(String::from)];
            for name in names.into_iter().flatten() {
                let same = *found.entry(name).or_insert_with(|| takes_next(arg));
                assert_eq!(same, takes_next(arg), "{:?} of {}", arg.get_long(), command.get_name());
            }
        }
        command.get_subcommands().for_each(|inner| options(inner, found));
    }

    #[test]
    fn an_option_takes_a_value_with_each_command_or_with_none() {
        let mut found = BTreeMap::new();
        options(&client::commands(), &mut found);
        assert!(found.len() > 10, "{found:?}");
    }
}

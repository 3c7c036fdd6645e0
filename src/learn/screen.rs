//! How things look in a terminal: plain, and coloured only where somebody sees it.

use std::io::{IsTerminal, Write};

/// Whether and how to colour.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    colour: bool,
    terminal: bool,
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` is set; `CLICOLOR_FORCE` colours everywhere.
    pub fn stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
        let terminal = std::io::stdout().is_terminal();
        Self { colour: set("CLICOLOR_FORCE") || (terminal && !set("NO_COLOR")), terminal }
    }

    /// Whether colours are shown.
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What matters most.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What matters least.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What holds.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What doesn't.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// A command to type.
    pub fn command(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// A line about something that goes on; the next one overwrites it. Nothing where nobody looks.
    pub fn passing(self, line: &str) {
        if self.terminal {
            let line: String = line.chars().take(100).collect();
            let mut out = std::io::stdout();
            // If the terminal is gone, there is nobody to tell.
            let _ = write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush());
        }
    }

    /// Wipes the passing line.
    pub fn settled(self) {
        self.passing("");
    }
}

/// `1 h 20 min`.
pub fn duration(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// `1 test`, `3 tests`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `text` with every line after `indent`.
pub fn indented(text: &str, indent: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") }).collect()
}

//! The text of transcripts: `tests/vectors/README.md` has the grammar.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::{End, Field, Implementation, Outcome, Role, Step, Transcript, parse_hex};

impl FromStr for Transcript {
    type Err = String;

    fn from_str(block: &str) -> Result<Self, String> {
        let mut lines = block.lines().peekable();
        let mut head = |word: &str| {
            let line = lines.next_if(|line| line.split(' ').next() == Some(word));
            line.and_then(|line| line.split_once(' ')).map(|(_, text)| text.to_owned())
        };
        let name = head("transcript").ok_or("`transcript` expected")?;
        let about = head("about").ok_or("`about` expected")?;
        let ends = head("ends").ok_or("`ends` expected")?;
        let options = head("options");
        let (first, second) = ends.split_once(' ').ok_or("two ends expected")?;
        let step = |line: &str| line.parse().map_err(|error| format!("{name}: `{line}`: {error}"));
        let steps = lines.map(step).collect::<Result<_, _>>()?;
        Ok(Self { about, ends: [first.parse()?, second.parse()?], options, steps, name })
    }
}

impl Display for Transcript {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [first, second] = self.ends;
        writeln!(f, "transcript {}", self.name)?;
        writeln!(f, "about {}", self.about)?;
        writeln!(f, "ends {first} {second}")?;
        if let Some(options) = &self.options {
            writeln!(f, "options {options}")?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (implementation, role) = match text.split_once('/') {
            Some(("go", role)) => (Implementation::Go, role),
            Some(("go2", role)) => (Implementation::Go2, role),
            Some(("ngrok", role)) => (Implementation::Ngrok, role),
            Some(("probe", role)) => (Implementation::Probe, role),
            _ => return Err(format!("`{text}` is not an end")),
        };
        let role = match role {
            "client" => Role::Client,
            "server" => Role::Server,
            _ => return Err(format!("`{role}` is not a role")),
        };
        Ok(Self { implementation, role })
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let implementation = match self.implementation {
            Implementation::Go => "go",
            Implementation::Go2 => "go2",
            Implementation::Ngrok => "ngrok",
            Implementation::Probe => "probe",
        };
        let role = match self.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        write!(f, "{implementation}/{role}")
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').ok_or("a step has two words")?;
        let returned = || {
            let (call, outcome) = rest.split_once(" => ").ok_or("`=>` expected")?;
            Ok::<_, String>((call.to_owned(), outcome.parse()?))
        };
        match word {
            "call" => returned().map(|(call, outcome)| Self::Call(call, outcome)),
            "start" => Ok(Self::Start(rest.to_owned())),
            "end" => returned().map(|(call, outcome)| Self::End(call, outcome)),
            "note" => Ok(Self::Note(rest.to_owned())),
            end => {
                let from = end.parse()?;
                match rest.strip_prefix("> ").ok_or("`>` expected")? {
                    "eof" => Ok(Self::Eof(from)),
                    "shutdown" => Ok(Self::Shutdown(from)),
                    frame => Ok(Self::Frame { from, frame: frame.parse()? }),
                }
            }
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { from, frame } => write!(f, "{from} > {frame}"),
            Self::Eof(end) => write!(f, "{end} > eof"),
            Self::Shutdown(end) => write!(f, "{end} > shutdown"),
            Self::Call(call, outcome) => write!(f, "call {call} => {outcome}"),
            Self::Start(call) => write!(f, "start {call}"),
            Self::End(call, outcome) => write!(f, "end {call} => {outcome}"),
            Self::Note(text) => write!(f, "note {text}"),
        }
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ok" => return Ok(Self::Ok),
            "blocked" => return Ok(Self::Blocked),
            _ => {}
        }
        let mut fields = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (field, left) = Field::take(rest)?;
            fields.push(field);
            rest = left.strip_prefix(' ').unwrap_or(left);
        }
        Ok(Self::Returned(fields))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Blocked => f.write_str("blocked"),
            Self::Returned(fields) => {
                for (n, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if n == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}

impl Field {
    /// Reads one field from the front of `text`; returns it, and the rest.
    fn take(text: &str) -> Result<(Self, &str), String> {
        let (key, rest) = text.split_once('=').ok_or("`=` expected")?;
        let end = match rest.strip_prefix('"') {
            Some(string) => string.find('"').ok_or("an open string")? + 2,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        let (value, left) = rest.split_at(end);
        let string = || value.trim_matches('"').to_owned();
        let decimal = || value.parse().map_err(|error| format!("`{value}`: {error}"));
        let hex = || u32::from_str_radix(value, 16).map_err(|error| format!("`{value}`: {error}"));
        let field = match key {
            "id" => Self::Id(decimal()?),
            "type" => Self::Type(hex()?),
            "n" => Self::Count(value.parse().map_err(|error| format!("`{value}`: {error}"))?),
            "hex" => Self::Bytes(parse_hex(value.trim_matches('-'))?),
            "code" => Self::Code(decimal()?),
            "err" => Self::Error(string()),
            "name" => Self::Name(string()),
            "text" => Self::Text(string()),
            _ => return Err(format!("`{key}` is not a field")),
        };
        Ok((field, left))
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id={id}"),
            Self::Type(kind) => write!(f, "type={kind:08x}"),
            Self::Count(count) => write!(f, "n={count}"),
            Self::Bytes(bytes) if bytes.is_empty() => f.write_str("hex=-"),
            Self::Bytes(bytes) => {
                f.write_str("hex=")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Code(code) => write!(f, "code={code}"),
            Self::Error(text) => write!(f, "err=\"{text}\""),
            Self::Name(text) => write!(f, "name=\"{text}\""),
            Self::Text(text) => write!(f, "text=\"{text}\""),
        }
    }
}

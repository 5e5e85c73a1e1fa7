//! `rolegate explain`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::ask::{self, Where};
use super::{explanation, say};
use crate::control::config::Source;
use crate::control::director;
use crate::explain::{Explanation, Question, assume};

/// The request that is explained.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Method, as the client sends it; not needed for a TCP listener.
    method: Option<String>,
    /// Path and query, as the client sends them, such as /SMS_MP/.sms_aut?MPLIST
    target: Option<String>,
    /// Address of the client.
    #[arg(long, value_name = "ADDRESS")]
    client: String,
    /// Host that the client asks for.
    #[arg(long)]
    host: Option<String>,
    /// Name of the listener; without it, the first that serves the target.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A field of the request, such as "User-Agent: x"; may be given several times.
    #[arg(long = "field", value_name = "NAME: VALUE")]
    fields: Vec<String>,
    /// Who the client's certificate is for, such as "CN=PC1, O=Contoso"; for roles with balance = "device".
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Only why this site system does not serve the request.
    #[arg(long, value_name = "SITE SYSTEM")]
    why_not: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Explain with this configuration instead of asking a running rolegate.
    #[arg(long, conflicts_with = "admin")]
    file: Option<PathBuf>,
    /// The admin address of the running rolegate.
    #[arg(long, default_value = "127.0.0.1:9180")]
    admin: SocketAddr,
}

/// Asks, and prints the answer.
pub(super) fn print(args: &Explain) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let only_why_not = args.why_not.is_some();
    let explanation = match &args.file {
        Some(file) => match of_file(file, args)? {
            Ok(explanation) => explanation,
            // They have their own layout.
            Err(Mistakes(rendered)) => {
                say::err(rendered);
                return Ok(ExitCode::FAILURE);
            }
        },
        None => {
            let at = Where { admin: args.admin };
            ask::read(at, &ask::get(at, "/explain", &pairs(args))?)?
        }
    };
    say::out(match &explanation.why_not {
        _ if json => serde_json::to_string_pretty(&explanation)?,
        Some(why_not) if only_why_not => match &explanation.assumed {
            Some(assumed) => format!("{}\n\n{}", why_not.sentence, explanation::assumed(assumed)),
            None => why_not.sentence.clone(),
        },
        Some(_) | None => explanation::render(&explanation),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn pairs(args: &Explain) -> Vec<(&'static str, String)> {
    let optional = [
        ("method", &args.method),
        ("target", &args.target),
        ("host", &args.host),
        ("listener", &args.listener),
        ("subject", &args.subject),
        ("why-not", &args.why_not),
    ];
    let given = optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let fields = args.fields.iter().map(|field| ("field", field.clone()));
    [("client", args.client.clone())].into_iter().chain(given).chain(fields).collect()
}

/// What is wrong with a configuration, rendered.
struct Mistakes(String);

fn of_file(file: &Path, args: &Explain) -> anyhow::Result<Result<Explanation, Mistakes>> {
    let pairs: Vec<(String, String)> = pairs(args).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let question = Question::parse(&pairs).map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let source = Source::read_once(file)?;
    let (compiled, _) = match director::read(&source, std::io::stderr().is_terminal()) {
        Ok(read) => read,
        Err(told) => return Ok(Err(Mistakes(told.text))),
    };
    let (snapshot, assumed) = assume(&compiled, &source.name);
    match question.explain(&snapshot, None, 0, fastrand::u64(..)) {
        Ok(explanation) => Ok(Ok(Explanation { assumed: Some(assumed), ..explanation })),
        Err(mistakes) => bail!("{}", mistakes.join("\n")),
    }
}

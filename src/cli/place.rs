//! Where commands about SLOs ask: a running server, or a data directory that no server uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nines_storage::disk::OsDisk;
use nines_storage::query::{Budget, Queryable};
use nines_storage::{ReplayProgress, Store};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{Usage, load, open_store};
use crate::clock::now_ms;
use crate::slo::define::load_dir;
use crate::slo::definition::{Definitions, Exclusion, Sla};
use crate::slo::desk::Desk;
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::diff::diff;
use crate::slo::journal::{Journal, Journals};
use crate::slo::rows::{Format, table};
use crate::slo::versions::versions;
use crate::slo::{amend, sla};
use crate::ui;

/// Longest time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Time of the statements that are listed: some thirteen months.
const LISTED_MS: i64 = 13 * 31 * 86_400_000;

/// Flags of all these commands.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Address of a running server
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9999",
        conflicts_with = "data"
    )]
    server: String,
    /// Data directory instead of a server; it must not be in use
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// With --data: directory of the definitions of SLOs
    #[arg(long = "slo.dir", value_name = "DIR", requires = "data")]
    slo_dir: Option<PathBuf>,
    /// With --data: config file, for the settings of the store
    #[arg(long, value_name = "FILE", requires = "data")]
    config: Option<PathBuf>,
    /// Whose samples
    #[arg(long, value_name = "NAME", default_value = "anonymous")]
    tenant: String,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// See the module.
pub(super) enum Place {
    Server(Server),
    Data(Box<Data>),
}

/// A running server.
pub(super) struct Server {
    url: Url,
    tenant: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A data directory.
pub(super) struct Data {
    tenant: String,
    definitions: Definitions,
    /// Whether a directory of definitions was named.
    are_defined: bool,
    // Dropped before the store, which holds the lock of the directory.
    journals: Journals,
    store: Store,
}

impl PlaceArgs {
    /// Opens it.
    pub(super) fn open(&self) -> anyhow::Result<Place> {
        let Some(dir) = &self.data else {
            return Ok(Place::Server(Server::new(&self.server, &self.tenant)?));
        };
        let mut config = load(self.config.as_ref())?;
        config.data.clone_from(dir);
        if self.slo_dir.is_some() {
            config.slo.dir.clone_from(&self.slo_dir);
        }
        anyhow::ensure!(
            dir.join("tenants").is_dir(),
            "{} is not a data directory of nines: name one with --data",
            dir.display()
        );
        let definitions = match &config.slo.dir {
            Some(dir) => definitions(dir)?,
            None => Definitions::default(),
        };
        let store = open_store(&config, &|_: ReplayProgress| {})?;
        let journals = Journals::open(Arc::new(OsDisk), dir)?;
        let (tenant, are_defined) = (self.tenant.clone(), config.slo.dir.is_some());
        Ok(Place::Data(Box::new(Data { tenant, definitions, are_defined, journals, store })))
    }
}

/// What a directory defines. What is wrong with it is told, and the rest is taken.
pub(super) fn definitions(dir: &std::path::Path) -> anyhow::Result<Definitions> {
    let (definitions, diagnostics) = load_dir(dir).with_context(|| {
        format!(
            "cannot read the definitions of SLOs in {}: name another directory with --slo.dir",
            dir.display()
        )
    })?;
    for one in diagnostics.iter().filter(|one| one.severity == Severity::Error) {
        super::print_error(&one.to_string());
    }
    Ok(definitions)
}

impl Server {
    /// What is wrong with documents, and what does not fit to the series of the tenant.
    pub(super) fn validate(&self, documents: String) -> anyhow::Result<Value> {
        self.json(Method::POST, &["validate"], &[("live", "true")], Some(documents))
    }

    /// The server at an address.
    pub(super) fn new(url: &str, tenant: &str) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).ok().filter(|url| !url.cannot_be_a_base());
        let url = parsed.with_context(|| {
            format!("{url:?} is not the address of a server; write one like http://127.0.0.1:9999")
        })?;
        // Somebody else may have installed one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { url, tenant: tenant.to_owned(), client, runtime })
    }

    fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Vec<u8>> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "slo", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).header("X-Scope-OrgID", &self.tenant);
        if let Some(body) = body {
            request = request.body(body);
        }
        let (status, bytes) = self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        })
        .with_context(|| format!("cannot ask the server at {}: start nines there, name another with --server, or a data directory with --data", self.url))?;
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        anyhow::bail!(
            "{}",
            problem(&bytes).unwrap_or_else(|| format!(
                "the server answers {status}: {}",
                String::from_utf8_lossy(&bytes).trim()
            ))
        )
    }

    fn json(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Value> {
        let bytes = self.ask(method, path, query, body)?;
        serde_json::from_slice(&bytes)
            .context("the server answers something else than JSON: is it nines?")
    }
}

/// What a problem of the API says: its diagnostics, or its detail.
fn problem(bytes: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(bytes).ok()?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let diagnostics = told["diagnostics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|one| {
            format!(
                "{}:{}: {}: {}",
                one["line"],
                one["column"],
                text(one, "path"),
                text(one, "message")
            )
        })
        .collect();
    match lines.is_empty() {
        true => told["detail"].as_str().map(str::to_owned),
        false => Some(lines.join("\n")),
    }
}

impl Data {
    fn journal(&self) -> anyhow::Result<Option<Arc<Journal>>> {
        Ok(self.journals.existing(&self.tenant)?)
    }

    /// An exclusion of the journal as the list has it.
    fn journaled(&self, journal: &Journal, name: &str) -> Option<amend::Listed> {
        let all = amend::list(&self.definitions, Some(&journal.book()));
        all.into_iter().find(|one| one.source == "journal" && one.exclusion.name == name)
    }

    fn sla(&self, name: &str) -> anyhow::Result<&Sla> {
        self.definitions.slas.get(name).with_context(|| {
            format!(
                "there is no SLA {name:?}: name the directory of the definitions with --slo.dir"
            )
        })
    }

    fn at_desk<T>(
        &self,
        ask: impl FnOnce(&Desk<'_>) -> crate::slo::error::Result<T>,
    ) -> anyhow::Result<T> {
        self.desk_of(&self.definitions, now_ms(), |desk| Ok(ask(desk)?))
    }

    fn desk_of<T>(
        &self,
        definitions: &Definitions,
        now_ms: i64,
        ask: impl FnOnce(&Desk<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let db = self.store.existing(&self.tenant);
        let db = db.with_context(|| format!("there are no samples of tenant {:?}", self.tenant))?;
        let book = self.journal()?.map(|journal| journal.book());
        let own = book.iter().flat_map(|book| book.in_force());
        let exclusions: Vec<&Exclusion> = definitions.exclusions.values().chain(own).collect();
        let budget = Budget::unlimited();
        let data: &dyn Queryable = &*db;
        ask(&Desk {
            data,
            budget: &budget,
            definitions,
            exclusions: &exclusions,
            now_ms,
            owner: None,
        })
    }
}

fn told(diagnostics: &[Diagnostic]) -> anyhow::Error {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

impl Place {
    /// What a server answers at a path, or the desk of a data directory.
    pub(super) fn look(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        here: impl FnOnce(&Desk<'_>) -> crate::slo::error::Result<Value>,
    ) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => server.json(Method::GET, path, query, None),
            Self::Data(data) => data.at_desk(here),
        }
    }

    /// What would change if these documents, which say `definitions`, were all that is defined.
    pub(super) fn diff(&self, documents: &str, definitions: &Definitions) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                server.json(Method::POST, &["diff"], &[], Some(documents.to_owned()))
            }
            Self::Data(data) => {
                if !data.are_defined {
                    let text = "with --data, name the directory of the definitions in force with --slo.dir";
                    return Err(Usage(text.to_owned()).into());
                }
                let now = now_ms();
                data.desk_of(&data.definitions, now, |before| {
                    data.desk_of(definitions, now, |after| Ok(json!(diff(before, after)?)))
                })
            }
        }
    }

    /// What an SLO was over time.
    pub(super) fn versions(&self, name: &str) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                server.json(Method::GET, &["slos", name, "versions"], &[], None)
            }
            Self::Data(data) => {
                let journal = data.journals.definitions()?;
                let budget = Budget::unlimited();
                Ok(json!(versions(&data.definitions, &journal, name, &budget)?))
            }
        }
    }

    /// All exclusions: `{"items": [...]}`.
    pub(super) fn exclusions(&self) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => server.json(Method::GET, &["exclusions"], &[], None),
            Self::Data(data) => {
                let book = data.journal()?.map(|journal| journal.book());
                Ok(json!({ "items": amend::list(&data.definitions, book.as_deref()) }))
            }
        }
    }

    /// Makes an exclusion of a document or of the JSON of a spec.
    pub(super) fn exclude(&self, text: &str, name: &str) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                let query: &[(&str, &str)] = if name.is_empty() { &[] } else { &[("name", name)] };
                server.json(Method::POST, &["exclusions"], query, Some(text.to_owned()))
            }
            Self::Data(data) => {
                let now = now_ms();
                let read =
                    amend::read(text, name, &data.definitions, now).map_err(|all| told(&all))?;
                let journal = data.journals.of(&data.tenant)?;
                let (name, entry) =
                    amend::create(&journal, &data.definitions, &read.exclusion, now)?;
                let made = data.journaled(&journal, &name);
                Ok(json!({ "exclusion": made, "seq": entry.seq, "diagnostics": read.warnings }))
            }
        }
    }

    /// Ends an exclusion: `{"exclusion": ...}`.
    pub(super) fn revoke(&self, name: &str, author: &str, note: &str) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                let body = json!({ "author": author, "note": note }).to_string();
                server.json(Method::POST, &["exclusions", name, "revoke"], &[], Some(body))
            }
            Self::Data(data) => {
                let journal = data.journal()?;
                amend::revoke(
                    journal.as_deref(),
                    &data.definitions,
                    (name, author, note),
                    now_ms(),
                )?;
                let made = journal.as_deref().and_then(|journal| data.journaled(journal, name));
                Ok(json!({ "exclusion": made }))
            }
        }
    }

    /// The statements of an SLA since thirteen months: `{"items": [...]}`.
    pub(super) fn statements(&self, name: &str) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                server.json(Method::GET, &["slas", name, "statements"], &[], None)
            }
            Self::Data(data) => {
                let (sla, journal) = (data.sla(name)?, data.journal()?);
                let now = now_ms();
                let span = (now.saturating_sub(LISTED_MS), now);
                let items = data.at_desk(|desk| sla::list(desk, journal.as_deref(), sla, span))?;
                Ok(json!({ "sla": name, "items": items }))
            }
        }
    }

    /// One statement; of one of its revisions if that is asked for.
    pub(super) fn statement(
        &self,
        name: &str,
        period: &str,
        revision: Option<usize>,
    ) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                let revision = revision.map(|revision| revision.to_string());
                let query: Vec<(&str, &str)> =
                    revision.iter().map(|text| ("revision", text.as_str())).collect();
                server.json(Method::GET, &["slas", name, "statements", period], &query, None)
            }
            Self::Data(data) => {
                let (sla, journal) = (data.sla(name)?, data.journal()?);
                let statement = data.at_desk(|desk| {
                    let asked = sla::period(sla, period)?;
                    sla::statement(desk, journal.as_deref(), sla, &asked)
                })?;
                let statement = match revision {
                    None => statement,
                    Some(revision) => statement.of_revision(revision).with_context(|| {
                        format!("there is no revision {revision} of the statement of {name} about {period}")
                    })?,
                };
                Ok(serde_json::to_value(&statement)?)
            }
        }
    }

    /// Closes a statement, or restates it.
    pub(super) fn close(&self, name: &str, period: &str, author: &str) -> anyhow::Result<Value> {
        match self {
            Self::Server(server) => {
                let body = json!({ "author": author }).to_string();
                let path = ["slas", name, "statements", period, "close"];
                server.json(Method::POST, &path, &[], Some(body))
            }
            Self::Data(data) => {
                let sla = data.sla(name)?;
                let journal = data.journals.of(&data.tenant)?;
                let statement = data.at_desk(|desk| {
                    let asked = sla::period(sla, period)?;
                    sla::close(desk, &journal, sla, &asked, author)
                })?;
                Ok(serde_json::to_value(&statement)?)
            }
        }
    }

    /// The bytes of a report.
    pub(super) fn report(
        &self,
        scope: &str,
        (unit, period): (&str, &str),
        format: &str,
    ) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Server(server) => {
                let query = [("unit", unit), ("period", period), ("format", format)];
                server.ask(Method::GET, &["reports", scope], &query, None)
            }
            Self::Data(data) => {
                let format = Format::parse(format)?;
                let journal = data.journal()?;
                let table =
                    data.at_desk(|desk| table(desk, journal.as_deref(), (scope, unit, period)))?;
                Ok(match format {
                    Format::Html => ui::report(&table).into_bytes(),
                    Format::Json => serde_json::to_vec(&table)?,
                    Format::Csv => table.csv().into_bytes(),
                    Format::Parquet => table.parquet()?,
                })
            }
        }
    }
}

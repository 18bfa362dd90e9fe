//! A small Git repository at `/repo.git`, served by Git's own `http-backend`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;

use super::Shared;
use super::delivery::Reply;

/// Fixed identities and times: the repository's commit has the same name in every run.
const HISTORY: &str = "commit refs/heads/main
committer Simulator <simulator@example.com> 1780000000 +0000
data 13
First commit

M 100644 inline README.md
data 25
hello from the simulator

";

/// Makes `repo.git` with one commit; pushing to it is allowed, so that a proxy which stops a push shows.
pub(super) fn create_repository(directory: &Path) -> anyhow::Result<()> {
    let repository = directory.join("repo.git");
    let git = |arguments: &[&str], stdin: &str| -> anyhow::Result<()> {
        let mut child = std::process::Command::new("git")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting git")?;
        std::io::Write::write_all(
            &mut child.stdin.take().context("git has no standard input")?,
            stdin.as_bytes(),
        )?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };
    let path = repository.to_str().context("the scratch directory's name is not UTF-8")?;
    git(&["init", "--quiet", "--bare", "--initial-branch=main", path], "")?;
    git(&["--git-dir", path, "config", "http.receivepack", "true"], "")?;
    git(&["--git-dir", path, "fast-import", "--quiet"], HISTORY)
}

/// Runs the CGI for one request.
pub(super) async fn answer(parts: &http::request::Parts, body: &[u8], shared: &Arc<Shared>) -> Reply {
    match backend(parts, body, shared).await {
        Ok(reply) => reply,
        Err(error) => Reply::bytes(500, "text/plain", format!("git http-backend: {error:#}\n")),
    }
}

async fn backend(parts: &http::request::Parts, body: &[u8], shared: &Arc<Shared>) -> anyhow::Result<Reply> {
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &shared.directory)
        .env("GIT_PROJECT_ROOT", &shared.directory)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let body = body.to_vec();
    let feed = tokio::spawn(async move { input.write_all(&body).await });
    let output = child.wait_with_output().await?;
    // The program may answer before it has read everything; what it said counts.
    feed.abort();
    let split =
        output.stdout.windows(4).position(|four| four == b"\r\n\r\n").context("no header in its answer")?;
    let (head, rest) = output.stdout.split_at(split + 4);
    let mut reply = Reply::bytes(200, "text/plain", rest.to_vec());
    for line in String::from_utf8_lossy(head).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                reply.status = status.split(' ').next().unwrap_or_default().parse()?
            }
            Some(("Content-Type", kind)) => reply.content_type = known_type(kind),
            Some(("Cache-Control", value)) => reply.headers.push(("cache-control", value.to_owned())),
            _ => {}
        }
    }
    Ok(reply)
}

fn known_type(kind: &str) -> &'static str {
    const KNOWN: [&str; 4] = [
        "application/x-git-upload-pack-advertisement",
        "application/x-git-upload-pack-result",
        "application/x-git-receive-pack-advertisement",
        "application/x-git-receive-pack-result",
    ];
    KNOWN.into_iter().find(|known| *known == kind).unwrap_or("text/plain")
}

//! `hudson ca`: where the interception CA is, and a new one.

use super::Context;
use super::output;
use crate::cli::CaCommand;
use crate::control::Place;
use crate::exit::{self, Exit};
use crate::instance;
use anyhow::Result;
use hudson_proxy::tls::CertificateAuthority;
use serde_json::json;

/// Prints the CA's paths or replaces the CA.
pub(super) fn execute(context: &Context, command: CaCommand) -> Result<u8> {
    let home = &context.home;
    match command {
        CaCommand::Path => {
            instance::make_home(home)?;
            CertificateAuthority::open(home)?;
        }
        CaCommand::Rotate => {
            instance::make_home(home)?;
            // Held while the CA changes, so that no `up` starts on half of it.
            let Some(_place) = Place::take(home)? else {
                return Err(Exit::conflict(format!(
                    "a `hudson up` or `hudson controller` serves {} with the present CA; stop it, rotate, and start it again",
                    home.path().display()
                ))
                .into());
            };
            CertificateAuthority::rotate(home)?;
        }
    }
    let (certificate, bundle) = (home.ca_certificate(), home.ca_bundle());
    match context.json {
        true => output::json(&json!({"certificate": certificate, "bundle": bundle}))?,
        false => output::text(&format!(
            "certificate  {}\nbundle       {}\n",
            certificate.display(),
            bundle.display()
        ))?,
    }
    Ok(exit::OK)
}

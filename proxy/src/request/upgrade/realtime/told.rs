//! The few fields of a Realtime server's messages that are not the meter's. Sources: openai-python
//! `types/realtime/session_created_event.py`, `realtime_error.py`, and the older shape below `types/beta/realtime`.

use serde::Deserialize;

/// What is read of a message of the server.
#[derive(Deserialize)]
pub(super) struct Told {
    #[serde(rename = "type")]
    pub(super) kind: String,
    error: Option<ToldError>,
    session: Option<ToldSession>,
}

#[derive(Deserialize)]
struct ToldError {
    event_id: Option<String>,
}

#[derive(Deserialize)]
struct ToldSession {
    output_audio_format: Option<String>,
    audio: Option<ToldAudio>,
}

#[derive(Deserialize)]
struct ToldAudio {
    output: Option<ToldOutput>,
}

#[derive(Deserialize)]
struct ToldOutput {
    format: Option<ToldFormat>,
}

#[derive(Deserialize)]
struct ToldFormat {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Told {
    /// The `event_id` of the client's message that an error answers.
    pub(super) fn answers(self) -> Option<String> {
        self.error?.event_id
    }

    /// The coding of generated audio that a session states, by its name.
    pub(super) fn audio(&self) -> Option<String> {
        let session = self.session.as_ref()?;
        let nested = || session.audio.as_ref()?.output.as_ref()?.format.as_ref()?.kind.clone();
        session.output_audio_format.clone().or_else(nested).filter(|name| name.len() <= 64)
    }
}

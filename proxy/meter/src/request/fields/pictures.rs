//! OpenAI images: no cap is taken, and how many tokens an image is depends on its size and quality alone.
//! Sources: openai-python `types/image_generate_params.py`, `types/image_edit_params.py`; the table of output tokens in
//! OpenAI's image generation guide.

use super::{Draft, RequestError, Scalar, choices, is_link, text};
use crate::request::facts::count;

/// What one image comes to at low, medium and high quality, at the largest of the three fixed sizes (1024 × 1536), on
/// gpt-image-1, -1-mini and -1.5.
const FIXED: [u64; 3] = [408, 1_584, 6_240];
/// Models of any size up to 8.3 megapixels. Stated for gpt-image-2: 7,024 for 1024 × 1024 and 12,329 for 3584 × 2048 at
/// high quality; grown with the pixels as between those that are stated, a square of the largest area stays below this.
const ANY_SIZE: u64 = 32_768;
/// Text that the newer models write beside the image, such as the prompt as they read it.
const TEXT: u64 = 1_000;
/// One partial image of a stream.
const PARTIAL: u64 = 100;
/// One image to edit: 65 and 129 for each tile, and up to 6,240 more where it is kept faithfully.
pub(crate) const INPUT_IMAGE: u64 = 8_192;

/// What decides how many tokens an image is.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    quality: Option<String>,
    partial: u64,
}

impl Picture {
    /// Notes the quality asked for.
    pub(crate) fn quality(&mut self, quality: Option<String>) {
        self.quality = quality;
    }

    /// Notes how many partial images are asked for.
    pub(crate) fn partial(&mut self, count: u64) {
        self.partial = count;
    }

    /// The most tokens that one image of this model may be. The models that state no usage (dall-e) are held at this,
    /// too.
    pub(crate) fn bound(&self, model: Option<&str>) -> u64 {
        let [low, medium, high] = FIXED;
        let fixed = ["gpt-image-1", "dall-e-"].iter().any(|family| {
            model.is_some_and(|model| model.rsplit('/').next().unwrap_or(model).starts_with(family))
        });
        let image = match (fixed, self.quality.as_deref()) {
            (false, _) => ANY_SIZE,
            (true, Some("low")) => low,
            (true, Some("medium")) => medium,
            (true, _) => high,
        };
        image.saturating_add(TEXT).saturating_add(self.partial.saturating_mul(PARTIAL))
    }
}

pub(super) fn scalar(draft: &mut Draft, path: &[&str], value: Scalar<'_>) -> Result<(), RequestError> {
    match path {
        ["n"] => choices(draft, "n", value)?,
        ["quality"] => draft.picture.quality(text("quality", value)?),
        ["partial_images"] => {
            draft.picture.partial(count("partial_images", value, draft.dialect)?.unwrap_or(0))
        }
        ["images" | "image" | "mask", .., "file_id"] => draft.unseen("file_id"),
        ["images" | "image" | "mask", .., "image_url" | "url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

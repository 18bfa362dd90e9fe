//! Closed lists of words with stable names: in files, in the ledger, in JSON and on the command line.

macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $what:literal: $($(#[$about:meta])* $word:ident = $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
        #[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
        pub enum $type {
            $($(#[$about])* #[serde(rename = $name)] $word,)*
        }

        impl $type {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$word),*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|word| word.name() == text).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|word| word.name()).collect();
                    format!("unknown {} {text:?}; expected one of {}", $what, names.join(", "))
                })
            }
        }
    };
}

pub(crate) use words;

//! Isolated bottles, looked at from inside, as root and as an ordinary user: what is out of reach, what works all the
//! same, and what ends when it has to.

mod escapes;
mod life;
pub(crate) mod place;
mod work;

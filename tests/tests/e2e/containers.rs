//! Bottles in containers of a real engine, looked at from inside and from the engine's side: what is out of reach, what
//! works all the same, what ends and what goes again.

mod acts;
mod crossing;
mod escapes;
mod life;
mod orders;
mod podman;
mod policies;
mod scene;
mod terminal;
mod work;

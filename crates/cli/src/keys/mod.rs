//! The keys of the configuration file: shown, added, changed, without anybody having to say their values.

mod add;
mod args;
mod by_hand;
mod file;
mod given;
mod list;
mod naming;

pub(crate) use add::{Addition, add};
pub(crate) use args::{AddArgs, AtArgs, KeysArgs, KeysOrder, NamedArgs, TestArgs};
pub(crate) use by_hand::{enable_by_hand, is_of};
pub(crate) use file::{Opened, changed};
pub(crate) use list::{Listing, Proxy, table};
pub(crate) use naming::{DEFAULT_POOL, named, the_pool};

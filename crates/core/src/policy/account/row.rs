//! An account as it is remembered, and back.

use super::{Account, BUCKETS, Here, Known, MODELS, Spent};
use crate::moment::Moment;
use crate::plan::AccountId;
use crate::policy::cooldown::{Ailing, Cooldown, Refused};
use crate::policy::load::Load;
use crate::policy::memory::{AccountRow, LimitRow};
use crate::policy::warmth::Caches;

impl Account {
    /// As it is remembered.
    pub(in crate::policy) fn row(&self, id: AccountId) -> AccountRow {
        let models = self.models.iter();
        let of_models = models.map(|(model, cooldown)| cooldown.row(Some(*model)));
        let mut row = AccountRow {
            id,
            credit: self.credit.row(),
            all_at_once: self.all_at_once,
            at_once: None,
            refused_at_once: None,
            first_byte: None,
            recent: (0.0, Moment::default()),
            cooldowns: of_models.chain([self.whole.row(None)]).collect(),
            limits: self.buckets.iter().map(Known::row).collect(),
            lifetimes: self.caches.rows(),
        };
        self.load.note(&mut row);
        row
    }

    /// As it was when it was remembered.
    pub(in crate::policy) fn of_row(row: AccountRow) -> Self {
        let mut whole = Cooldown::default();
        let mut models = Vec::new();
        for cooldown in &row.cooldowns {
            match cooldown.model {
                Some(model) if models.len() < MODELS => {
                    models.push((model, Cooldown::of_row(cooldown)));
                }
                Some(_) => {}
                None => whole = Cooldown::of_row(cooldown),
            }
        }
        Self {
            whole,
            models,
            credit: Refused::of_row(row.credit),
            buckets: row
                .limits
                .iter()
                .take(BUCKETS)
                .copied()
                .map(Known::of_row)
                .collect(),
            all_at_once: row.all_at_once,
            // Lasts half a minute at most: it is found out anew.
            ailing: Ailing::default(),
            load: Load::of_row(&row),
            caches: Caches::of_rows(&row.lifetimes),
            here: Here::Unasked,
            is_marked: false,
        }
    }
}

impl Known {
    const fn row(&self) -> LimitRow {
        LimitRow {
            model: self.model,
            bucket: self.bucket,
            at: self.at,
            requests: self.since.requests,
            tokens: self.since.tokens,
        }
    }

    const fn of_row(row: LimitRow) -> Self {
        Self {
            model: row.model,
            bucket: row.bucket,
            at: row.at,
            since: Spent {
                requests: row.requests,
                tokens: row.tokens,
            },
        }
    }
}

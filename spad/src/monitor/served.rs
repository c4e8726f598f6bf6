//! The profiles that a worker serves: their key ids decide what may be open, their names are for the operator.

use std::sync::Arc;

use spa_core::crypto::key::KeyId;

use crate::ask::MOST_PROFILES;

/// Key ids, ascending, and names, in one piece: a hundred thousand of them are no hundred thousand allocations.
#[derive(Default)]
pub(super) struct Served {
    ids: Vec<KeyId>,
    /// Where each name ends.
    ends: Vec<usize>,
    names: String,
}

impl Served {
    /// Takes in more of them, unless they do not ascend or are too many.
    pub(super) fn extend(&mut self, some: &[(KeyId, Arc<str>)]) -> bool {
        let ascends = self.ids.last() < some.first().map(|(id, _)| id);
        let good = ascends && self.ids.len() + some.len() <= MOST_PROFILES;
        if good {
            for (id, name) in some {
                self.ids.push(*id);
                self.names.push_str(name);
                self.ends.push(self.names.len());
            }
        }
        good
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn contains(&self, key_id: KeyId) -> bool {
        self.ids.binary_search(&key_id).is_ok()
    }

    /// The profile's name; `None` where it is not served, or has none.
    pub(super) fn name(&self, key_id: KeyId) -> Option<&str> {
        self.at(self.ids.binary_search(&key_id).ok()?).filter(|name| !name.is_empty())
    }

    /// Who is called so: several, where names are told in part.
    pub(super) fn called(&self, name: &str) -> Vec<KeyId> {
        let all = self.ids.iter().enumerate();
        all.filter(|(n, _)| self.at(*n) == Some(name)).map(|(_, id)| *id).collect()
    }

    fn at(&self, n: usize) -> Option<&str> {
        let begin = if n == 0 { 0 } else { *self.ends.get(n - 1)? };
        self.names.get(begin..*self.ends.get(n)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_belong_to_their_key_ids() {
        let some = |all: &[(u32, &str)]| -> Vec<(KeyId, Arc<str>)> {
            all.iter().map(|&(id, name)| (KeyId(id), Arc::from(name))).collect()
        };
        let mut served = Served::default();
        assert!(served.extend(&some(&[(1, "laptop"), (5, "")])));
        assert!(served.extend(&some(&[(9, "phone"), (12, "laptop")])));
        assert!(!served.extend(&some(&[(12, "again")])), "one twice");
        assert!(!served.extend(&some(&[(3, "falling")])));
        let names = [0, 1, 5, 9, 12].map(|id| served.name(KeyId(id)));
        assert_eq!(names, [None, Some("laptop"), None, Some("phone"), Some("laptop")]);
        assert_eq!(served.called("laptop"), [KeyId(1), KeyId(12)]);
        assert_eq!((served.called("lapto"), served.len()), (vec![], 4));
        assert!(served.contains(KeyId(5)) && !served.contains(KeyId(6)));
        let most: Vec<_> = (0..1 << 20).map(|id| (KeyId(id), Arc::from(""))).collect();
        let mut full = Served::default();
        assert!(full.extend(&most));
        assert!(!full.extend(&some(&[(u32::MAX, "one more")])), "more than can be");
    }
}

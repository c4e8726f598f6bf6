//! Mistakes that an implementation might make, one by one. They prove that the oracle bites: each must be caught.

/// A way in which the server of the world is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Begins with an empty memory.
    RestartForgetsAll,
    /// Keeps what was admitted, but not how far floors were raised.
    RestartForgetsFloors,
    /// Opens first and writes down later.
    AsksBeforeItIsOnDisk,
    /// After a loss, takes the clock for right at once.
    SettlesByAnyClock,
    /// After a loss, a restart finds a journal that looks settled.
    TheLossIsNotWrittenDown,
    /// Writes the floor of a lost journal down before it is part of the memory: a flush that fails meanwhile drops it.
    FloorIsWrittenBeforeItIsKnown,
    /// Believes a monotonic profile whose memory was lost.
    MonotonicSurvivesALoss,
    /// A close leaves the floor where it is.
    CloseRaisesNoFloor,
    /// Drops the memory of profiles whose file is not there.
    AbsentProfilesAreForgotten,
    /// Counts every authentic datagram against the rate, replays included.
    ReplaysTakeTokens,
    /// Remembers what was refused because of its address.
    ForwardedCopyIsRemembered,
    /// A stated address need not be the packet's source.
    AnyAddressWillDo,
    /// Measures windows by the wall clock.
    WindowsByTheWallClock,
    /// A new monitor does not know whose the kernel's elements are.
    LeasesAreForgotten,
    /// A grant ends what another profile holds.
    LastGrantWins,
    /// After a loss, blanks the files one by one: a crash in between leaves one that looks whole.
    OneFileIsBlankedFirst,
    /// Does not look at the mark in /run.
    RollbackIsNotSeen,
    /// A key goes on beside the one that took its place.
    TheKeyBeforeGoesOn,
    /// A journal that was lost, and with it the use of the key that took its place, brings a key back.
    TheKeyBeforeSurvivesALoss,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::RestartForgetsAll,
        Self::RestartForgetsFloors,
        Self::AsksBeforeItIsOnDisk,
        Self::SettlesByAnyClock,
        Self::TheLossIsNotWrittenDown,
        Self::FloorIsWrittenBeforeItIsKnown,
        Self::MonotonicSurvivesALoss,
        Self::CloseRaisesNoFloor,
        Self::AbsentProfilesAreForgotten,
        Self::ReplaysTakeTokens,
        Self::ForwardedCopyIsRemembered,
        Self::AnyAddressWillDo,
        Self::WindowsByTheWallClock,
        Self::LeasesAreForgotten,
        Self::LastGrantWins,
        Self::OneFileIsBlankedFirst,
        Self::RollbackIsNotSeen,
        Self::TheKeyBeforeGoesOn,
        Self::TheKeyBeforeSurvivesALoss,
    ];
}

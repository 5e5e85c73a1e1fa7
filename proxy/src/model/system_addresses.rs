//! Which site systems have an address.

use std::net::IpAddr;

use super::sieve::{Sieve, hash_of_address};

/// The addresses of site systems, each with their positions.
#[derive(Clone, Debug, Default)]
pub struct SystemAddresses {
    entries: Box<[(IpAddr, u16)]>,
    sieve: Sieve,
}

impl SystemAddresses {
    /// The table of addresses that are sorted and canonical.
    pub fn new(entries: Vec<(IpAddr, u16)>) -> Self {
        let sieve = Sieve::new(entries.iter().map(|(address, _)| hash_of_address(*address)));
        Self { entries: entries.into_boxed_slice(), sieve }
    }

    /// The entries of this address.
    pub fn at(&self, address: IpAddr) -> &[(IpAddr, u16)] {
        let address = address.to_canonical();
        if !self.sieve.may_have(hash_of_address(address)) {
            return &[];
        }
        let from = self.entries.partition_point(|(own, _)| *own < address);
        let count = self.entries[from..].iter().take_while(|(own, _)| *own == address).count();
        &self.entries[from..from + count]
    }
}

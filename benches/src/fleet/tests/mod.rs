mod demands;
mod life;
mod model;
mod parts;
mod scenarios;
mod schedules;
mod sense;
mod truth;

use super::*;

fn fleet(text: &str) -> Fleet {
    let scenario = Scenario::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    match scenario.kind {
        Kind::Fleet(fleet) => *fleet,
        Kind::Plain(plain) => panic!("{plain:?}"),
    }
}

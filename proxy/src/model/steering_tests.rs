#![allow(clippy::unwrap_used)]

use super::*;

fn wish(system: &str, role: Option<&str>, wish: Wish) -> Override {
    Override {
        site_system: Arc::from(system),
        role: role.map(Arc::from),
        wish,
        begin: None,
        end: None,
        since: 1000,
        by: "anna".into(),
        from: "127.0.0.1".into(),
        comment: None,
    }
}

#[test]
fn an_override_of_a_role_is_of_that_role_alone() {
    let mut steering = Steering::default();
    assert_eq!(steering.set(wish("DP1", Some("distribution-point"), Wish::Drain)), None);
    assert_eq!(steering.steer("dp1", "distribution-point", 2000), Steer::Drain);
    assert_eq!(steering.steer("dp1", "management-point", 2000), Steer::None);
    assert_eq!(steering.steer("dp2", "distribution-point", 2000), Steer::None);
    steering.set(wish("dp1", None, Wish::Drain));
    assert_eq!(steering.steer("dp1", "management-point", 2000), Steer::Drain);
    assert_eq!(steering.len(), 2, "one of the whole and one of a role are two");
    let whole = wish("dp1", None, Wish::Drain).place();
    assert!(steering.clear(&whole).is_some() && steering.clear(&whole).is_none());
    assert_eq!(steering.steer("dp1", "distribution-point", 2000), Steer::Drain, "each is undone alone");
    steering.clear(&wish("dP1", Some("distribution-point"), Wish::Drain).place());
    assert!(steering.is_empty());
}

#[test]
fn maintenance_says_more_than_drain() {
    let mut steering = Steering::default();
    steering.set(wish("dp1", Some("distribution-point"), Wish::Drain));
    steering.set(wish("dp1", None, Wish::Maintenance));
    assert_eq!(steering.steer("dp1", "distribution-point", 2000), Steer::Maintenance);
    assert_eq!(steering.taken_out("dp1", "distribution-point", 2000).unwrap().role, None);
    steering.set(wish("dp1", Some("distribution-point"), Wish::Maintenance));
    assert!(steering.taken_out("dp1", "distribution-point", 2000).unwrap().role.is_some(), "the role's own is told");
}

#[test]
fn maintenance_begins_and_ends_by_itself() {
    let mut steering = Steering::default();
    let planned = Override { begin: Some(2000), end: Some(3000), ..wish("dp1", None, Wish::Maintenance) };
    steering.set(planned.clone());
    steering.set(wish("dp1", None, Wish::Drain));
    for (now, expected, next) in [
        (1999, Steer::Drain, Some(2000)),
        (2000, Steer::Maintenance, Some(3000)),
        (2999, Steer::Maintenance, Some(3000)),
        (3000, Steer::Drain, None),
    ] {
        assert_eq!(steering.steer("dp1", "x", now), expected, "{now}");
        assert_eq!(steering.next_change(now), next, "{now}");
    }
    assert_eq!(steering.expire(2999), []);
    assert_eq!(steering.expire(3000), [planned]);
    assert_eq!(steering.len(), 1);
}

#[test]
fn weights_are_absolute_or_a_share_of_the_configured_one() {
    let mut steering = Steering::default();
    assert_eq!(steering.weight("dp1", "a", 100, 0), 100);
    steering.set(wish("dp1", None, Wish::Weight(Share::Percent(50))));
    steering.set(wish("dp1", Some("a"), Wish::Weight(Share::Of(7))));
    assert_eq!((steering.weight("dp1", "a", 100, 0), steering.weight("dp1", "b", 80, 0)), (7, 40));
    assert_eq!((Share::Percent(1).of(10), Share::Percent(10_000).of(500)), (1, 1000), "never 0, never above 1000");
    for (text, expected) in [("50", Share::Of(50)), (" 1000 ", Share::Of(1000)), ("25%", Share::Percent(25))] {
        assert_eq!(text.parse::<Share>().unwrap(), expected);
    }
    for wrong in ["0", "0%", "1001", "10001%", "-1", "", "half", "1.5"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
    assert_eq!((Share::Of(50).to_string(), Share::Percent(50).to_string()), ("50".to_owned(), "50%".to_owned()));
}

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::steering::Steer;

fn some() -> Steering {
    let mut steering = Steering::default();
    for (role, wish, end) in [
        (None, Wish::Maintenance, Some(5000)),
        (Some("distribution-point"), Wish::Drain, None),
        (Some("distribution-point"), Wish::Weight(Share::Percent(50)), None),
    ] {
        steering.set(Override {
            site_system: Arc::from("DP1"),
            role: role.map(Arc::from),
            wish,
            begin: end.map(|end| end - 1000),
            end,
            since: 3000,
            by: "anna".into(),
            from: "127.0.0.1:5".into(),
            comment: Some("\"new\" disks\u{1b}".into()),
        });
    }
    steering
}

#[test]
fn what_was_written_is_read_and_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    assert!(load(&path).is_empty(), "there is none at first");
    for steering in [some(), Steering::default(), some()] {
        write(&path, &steering).unwrap();
        assert_eq!(load(&path), steering);
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["state.json"], "nothing is left behind");
    can_write(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(can_write(&folder.path().join("none").join("state.json")).is_err());
}

#[test]
fn a_broken_file_is_put_aside() {
    let good = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write(&path, &some()).unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    for broken in [
        "",
        "{",
        "[]",
        &good[..good.len() / 2],
        &good.replace("\"version\": 1", "\"version\": 2"),
        &good.replace("\"50%\"", "\"0\""),
        &good.replace("\"drain\"", "\"away\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, broken).unwrap();
        assert_eq!(load(&path).steer("dp1", "distribution-point", 4500), Steer::None, "{broken}");
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(folder.path().join("state.json.broken")).unwrap(), broken);
        write(&path, &some()).unwrap();
        assert_eq!(load(&path), some(), "and the next one is good");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    write(&path, &some()).unwrap();
    // A folder is in the way of the new file.
    std::fs::create_dir(folder.path().join("state.json.new")).unwrap();
    assert!(write(&path, &Steering::default()).is_err());
    assert_eq!(load(&path), some());
}

#[test]
fn systemd_says_where_state_is_kept() {
    assert_eq!(place(Some("/a/b")), Some(PathBuf::from("/a/b")));
    assert_eq!(in_folder("/var/lib/rolegate"), Some(PathBuf::from("/var/lib/rolegate/steering.json")));
    assert_eq!(in_folder("/var/lib/a:/var/lib/b"), Some(PathBuf::from("/var/lib/a/steering.json")));
    assert_eq!(in_folder(""), None);
    assert_eq!((date(0), date(u64::MAX)), ("1970-01-01T00:00:00Z".to_owned(), "9999-12-31T23:59:59Z".to_owned()));
}

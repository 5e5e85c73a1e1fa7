//! Mistakes about fallback times, what is remembered, and how site systems are connected, as in `control_compile.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use rolegate::control::compile::{Compiled, RolePlan};
use rolegate::model::live::Capacity;
use rolegate::model::role::Clock;
use rolegate::model::tier::TierKind;

use marks::{GROUP, LISTENER, MP1, SITE, error, look, warning, with, with_group};

#[path = "control_support/marks.rs"]
mod marks;

/// Two distribution points and a software update point, in the groups of a piece.
fn with_content(piece: &str) -> String {
    let roles = "[\"MP\", \"DP\", \"SUP\", \"SMP\"]";
    let (listener, mp) = (LISTENER.replace("[\"MP\"]", roles), MP1.replace("[\"MP\"]", roles));
    let second = "[[site_systems]]\nname = \"dp2\"\naddress = \"10.0.0.2\"\nroles = [\"DP\"]\n";
    format!("{SITE}{listener}{mp}{second}{piece}")
}

const PREFERRED: &str = "[fallback]\nmodel = \"preferred\"\n";

fn plan<'a>(compiled: &'a Compiled, role: &str) -> &'a RolePlan {
    compiled.roles.iter().find(|plan| plan.role.short == role).unwrap()
}

/// Offset and kind of the links of the first group.
fn links(compiled: &Compiled, role: &str) -> Vec<(u32, TierKind)> {
    plan(compiled, role).groups[0].links.iter().map(|link| (link.offset, link.kind)).collect()
}

#[test]
fn fallback_settings() {
    let table = |lines: &str| with(&format!("[fallback]\n{lines}\n"));
    error(&table("model = «\"older\"»"), "`model` cannot be \"older\"", "\"relationships\", \"preferred\"");
    error(&table("clock = «\"later\"»"), "`clock` cannot be \"later\"", "\"honor\", \"immediate\"");
    for speedup in ["0", "100001"] {
        error(&table(&format!("speedup = «{speedup}»")), "`speedup` cannot be", "from 1 to 100000");
    }
    warning(&table("speedup = «60»"), "pass 60 times as fast", "real clients");
    for clocks in ["0", "16777217"] {
        error(&table(&format!("max_clocks = «{clocks}»")), "`max_clocks` cannot be", "from 1 to 16777216");
    }
    for agent in ["", " SMS", "SMS\\t", "é"] {
        let text = table(&format!("exempt_user_agents = [\"x\", «\"{agent}\"»]"));
        error(&text, "no User-Agent begins with", "SMS CCM 5.0 TS");
    }
    for key in ["[fallback]\nexempt_content", "[content]\ndiscover"] {
        for id in ["", "a/b", "a b", &"x".repeat(129)] {
            let text = with(&format!("{key} = [\"P0100003\", «\"{id}\"»]\n"));
            error(&text, "is not the id of a content", "\"P0100003\"");
        }
    }
    for section in ["content", "affinity"] {
        for entries in ["0", "67108865"] {
            let text = with(&format!("[{section}]\nmax_entries = «{entries}»\n"));
            error(&text, "`max_entries` cannot be", "from 1 to 67108864");
        }
    }
    let text = table("slow_or_fallback = «\"download\"»");
    error(&text, "a setting of deployments before ConfigMgr 1610", "model = \"preferred\"");
    let text = table("model = \"preferred\"\nslow_or_fallback = «\"no\"»");
    error(&text, "`slow_or_fallback` cannot be \"no\"", "\"do-not-download\"");
}

#[test]
fn what_is_remembered_and_for_how_long() {
    let compiled = look(&with("")).1.unwrap();
    let (site, fallback) = (&compiled.site, &compiled.site.fallback);
    assert_eq!((fallback.speedup, fallback.clock_idle), (1, Duration::from_secs(6 * 3600)));
    assert_eq!(
        (&*fallback.exempt_user_agents, fallback.exempt_content.len()),
        (&["SMS CCM 5.0 TS".into(), "ccmsetup".into()][..], 0)
    );
    assert_eq!((site.content.missing_ttl.as_secs(), site.content.known_ttl.as_secs()), (300, 86_400));
    assert_eq!((site.content.discover.len(), site.content.discover_interval.as_secs()), (0, 3600));
    assert_eq!((site.upload_idle.as_secs(), site.decision_header, site.admin.token), (86_400, false, None));
    assert_eq!(compiled.fixed.capacity, Capacity::default());

    let text = with(
        "[fallback]\nclock_idle = \"1h\"\nmax_clocks = 1\nexempt_user_agents = []\nexempt_content = [\"P0100003\"]\n\
         [content]\nmissing_ttl = \"1s\"\nknown_ttl = \"2s\"\nmax_entries = 2\ndiscover = [\"P0100004\"]\n\
         discover_interval = \"3s\"\n[affinity]\nmax_entries = 3\nupload_idle = \"4s\"\n\
         [proxy]\ndecision_header = true\n",
    );
    let compiled = look(&text).1.unwrap();
    let (site, fallback) = (&compiled.site, &compiled.site.fallback);
    assert_eq!((fallback.clock_idle.as_secs(), fallback.exempt_user_agents.len()), (3600, 0));
    assert_eq!(
        (&*fallback.exempt_content, &*site.content.discover),
        (&["P0100003".into()][..], &["P0100004".into()][..])
    );
    let times = [site.content.missing_ttl, site.content.known_ttl, site.content.discover_interval, site.upload_idle];
    assert_eq!((times.map(|time| time.as_secs()), site.decision_header), ([1, 2, 3, 4], true));
    assert_eq!(compiled.fixed.capacity, Capacity { clocks: 1, verdicts: 2, affinities: 3 });
}

#[test]
fn clocks_of_all_roles_and_of_one() {
    let text = with_content("[fallback]\nclock = \"immediate\"\n[roles.DP]\nclock = \"honor\"\n");
    let compiled = look(&text).1.unwrap();
    let clocks = ["MP", "DP", "SUP"].map(|role| plan(&compiled, role).role.clock);
    assert_eq!(clocks, [Clock::Immediate, Clock::Honor, Clock::Immediate]);
}

#[test]
fn times_that_a_role_does_not_know() {
    let wien = "[[boundary_groups]]\nname = \"Wien\"\nsite_systems = [\"dp2\", \"mp1\"]\n";
    let group = |neighbors: &str| with_content(&format!("{GROUP}neighbors = [{neighbors}]\n{wien}"));
    let text = group("{ group = \"Wien\", fallback = { DP = 20, MP = «20», SUP = 30 } }");
    warning(&text, "of the role Management point is fixed at 0 or never", "write 0 or \"never\"");
    let compiled = look(&text.replace(['«', '»'], "")).1.unwrap();
    assert_eq!(links(&compiled, "MP"), [(0, TierKind::Neighbor), (0, TierKind::Default)], "20 counts as 0");
    assert_eq!(links(&compiled, "DP"), [(20, TierKind::Neighbor), (120, TierKind::Default)]);
    assert_eq!(links(&compiled, "SUP"), [(30, TierKind::Neighbor), (120, TierKind::Default)]);
    assert_eq!(links(&compiled, "SMP"), []);
    let text = group("{ group = \"Wien\", fallback = { SMP = «0», MP = \"never\" } }");
    warning(&text, "State migration point has no working fallback", "write \"never\"");
    let compiled = look(&text.replace(['«', '»'], "")).1.unwrap();
    assert_eq!((links(&compiled, "SMP"), links(&compiled, "MP")), (vec![], vec![(0, TierKind::Default)]));
    assert_eq!(look(&group("{ group = \"Wien\", fallback = { SMP = \"never\", MP = 0 } }")).0, []);
    let text = with_group("[default_boundary_group]\nfallback = { MP = «30» }\n");
    warning(&text, "fixed at 0 or never", "write 0 or \"never\"");
    let text = with_content(&format!("{GROUP}[roles.DP]\nfallback_rule = \"at-once\"\n"));
    assert_eq!(links(&look(&text).1.unwrap(), "DP"), [(0, TierKind::Default)], "the 120 of its preset count as 0");
}

#[test]
fn what_is_said_of_a_role_holds_for_its_relatives() {
    let wien = "[[boundary_groups]]\nname = \"Wien\"\nsite_systems = [\"mp1\"]\n";
    let own = "[roles.users]\npreset = \"MP\"\npaths = [\"/CMUserService\"]\n\
               [roles.MP]\npaths_remove = [\"/CMUserService\"]\n\
               [roles.files]\npreset = \"DP\"\npaths = [\"/files\"]\n\
               [[site_systems]]\nname = \"b1\"\naddress = \"10.0.0.9\"\nroles = [\"users\", \"client-notification\", \"files\"]\n\
               [[listeners]]\naddress = \"0.0.0.0:81\"\nroles = [\"users\", \"files\"]\n\
               [[listeners]]\naddress = \"0.0.0.0:10123\"\nroles = [\"client-notification\"]\n";
    let with = |said: &str, default: &str| {
        let group = format!("{GROUP}neighbors = [{{ group = \"Wien\", fallback = {{ {said} }} }}]\n{wien}");
        let text = with_content(&format!("{group}{own}[default_boundary_group]\nfallback = {{ {default} }}\n"));
        let (problems, compiled) = look(&text);
        compiled.unwrap_or_else(|| panic!("{problems:?}"))
    };
    let of = |compiled: &Compiled, role: &str| -> Vec<(u32, TierKind)> {
        let plan = compiled.roles.iter().find(|plan| plan.role.short == role || plan.role.name == role).unwrap();
        plan.groups[0].links.iter().map(|link| (link.offset, link.kind)).collect()
    };
    let never = with("MP = \"never\", DP = 30", "MP = \"never\"");
    for role in ["MP", "client-notification", "users"] {
        assert_eq!(of(&never, role), [], "{role}");
    }
    assert_eq!(of(&never, "files"), [(30, TierKind::Neighbor), (120, TierKind::Default)]);
    let otherwise = with("MP = \"never\", users = 0, DP = 30, files = 10", "MP = \"never\", client-notification = 0");
    assert_eq!(of(&otherwise, "users"), [(0, TierKind::Neighbor)]);
    assert_eq!(of(&otherwise, "client-notification"), [(0, TierKind::Default)]);
    assert_eq!(of(&otherwise, "files"), [(10, TierKind::Neighbor), (120, TierKind::Default)]);
}

#[test]
fn the_model_without_relationships() {
    let preferred = |piece: &str| with_content(&format!("{GROUP}{piece}{PREFERRED}"));
    let text = preferred("neighbors = [{ group = «\"Wien\"» }]\n[[boundary_groups]]\nname = \"Wien\"\n");
    error(&text, "the older model has no relationships between boundary groups", "take the neighbor out");
    let text = preferred("[default_boundary_group]\nsite_systems = [«\"dp2\"»]\n");
    error(&text, "no relationships and no site default boundary group", "fallback_source = true");
    let text = preferred("[default_boundary_group]\nfallback = { «DP» = 30 }\n");
    error(&text, "no relationships and no site default boundary group", "model = \"relationships\"");

    let text = preferred("").replace("[\"mp1\"]", "[\"mp1\", { name = \"dp2\", connection = \"slow\" }]");
    let (records, compiled) = look(&text);
    assert_eq!(records, []);
    let compiled = compiled.unwrap();
    for role in ["MP", "DP", "SUP", "SMP"] {
        assert_eq!(links(&compiled, role), [], "{role}");
    }
    let dp = plan(&compiled, "DP");
    assert_eq!((&dp.groups[0].members[..], &dp.groups[0].slow[..]), (&[0][..], &[1][..]));
    assert!(dp.distant && !dp.ungrouped && !plan(&compiled, "MP").ungrouped);
    assert!(plan(&compiled, "SUP").ungrouped, "every client may use all of them");
    let text = text.replace("\"preferred\"", "\"preferred\"\nslow_or_fallback = \"do-not-download\"");
    assert!(!plan(&look(&text).1.unwrap(), "DP").distant);
    let slow_alone = preferred("").replace("[\"mp1\"]", "[{ name = \"mp1\", connection = \"slow\" }]");
    let (records, compiled) = look(&slow_alone);
    assert_eq!((records, plan(&compiled.unwrap(), "MP").ungrouped), (vec![], false));
    // The same without a word about a model: a software update point that no group names is worth a warning.
    let text = with_content("[[boundary_groups]]\nname = «\"Berlin\"»\nsite_systems = [\"dp2\"]\n");
    let (records, _) = look(&text.replace(['«', '»'], ""));
    let [record] = records.as_slice() else { panic!("{records:#?}") };
    assert!(record.message.contains("the role Software update point"), "{record:?}");
    let (records, _) = look(&format!("{}{PREFERRED}", text.replace(['«', '»'], "")));
    assert_eq!(records, [], "groups of that time hold none");
}

#[test]
fn connections() {
    let group = |entries: &str| with_content(&GROUP.replace("[\"mp1\"]", &format!("[{entries}]")));
    let text = group("\"mp1\", { name = \"dp2\", connection = «\"slow\"» }");
    error(&text, "slow connections are of the model before ConfigMgr 1610", "a neighbor of this group with time 0");
    assert_eq!(look(&group("\"mp1\", { name = \"dp2\", connection = \"fast\" }, { name = \"DP2\" }")).0, []);
    let text = group("\"mp1\", { name = \"dp2\", connection = «\"slo\"» }");
    error(&text, "`connection` cannot be \"slo\"", "did you mean \"slow\"?");
    error(&group("\"mp1\", «{ connection = \"fast\" }»"), "this entry names no site system", "name = \"dp1\"");
    error(&group("\"mp1\", { name = «\"dp3\"» }"), "there is no site system \"dp3\"", "did you mean \"dp2\"");
    let twice = group("\"dp2\", \"mp1\", { name = «\"DP2\"», connection = \"slow\" }") + PREFERRED;
    error(&twice, "\"DP2\" has a fast and a slow connection", "write it once");
}

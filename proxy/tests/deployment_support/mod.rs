//! The deployments in `examples/deployments`, and the certificates that they name.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rolegate_bench::pki::{Authority, Identity, Wanted};

/// Where the examples have their certificates.
const ETC: &str = "/etc/rolegate/";
const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deployments")
}

/// One file of one deployment.
pub fn read(deployment: &str, file: &str) -> String {
    let path = folder().join(deployment).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Its configuration, with the certificates of a folder.
pub fn configuration(deployment: &str, certificates: &Path) -> String {
    read(deployment, "rolegate.toml").replace(ETC, &format!("{}/", certificates.display()))
}

/// What the examples name below `/etc/rolegate`, in a folder that ends with the value.
pub struct Certificates {
    pub authority: Authority,
    /// What rolegate shows to site systems.
    pub ours: Identity,
    /// A client whose certificate is revoked.
    pub revoked: Identity,
    folder: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let authority = Authority::new("Contoso Issuing CA");
        let (ours, revoked) = (authority.client("rolegate"), authority.client("PC-LOST"));
        let all = Self { authority, ours, revoked, folder: tempfile::tempdir().unwrap() };
        all.write("site-ca.pem", all.authority.certificate_pem());
        all.write("site-ca.crl", &all.authority.crl(&[&all.revoked]));
        all.pair("rolegate", &all.ours);
        all.pair("cm", &all.server(&["cm.contoso.com"]));
        all.pair(
            "intranet",
            &all.server(&["cm.contoso.com", "mdm.contoso.com", "cm1.contoso.com", "sql1.contoso.com"]),
        );
        let internet = ["mp1.contoso.net", "mp2.contoso.net", "dp1.contoso.net", "dp2.contoso.net", "sup1.contoso.net"];
        all.pair("internet", &all.server(&internet));
        all
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn pair(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.crt"), &identity.certificate_pem);
        self.write(&format!("{name}.key"), &identity.key_pem);
    }

    /// One that ends so late that nothing has to be said of it.
    fn server(&self, names: &[&str]) -> Identity {
        let now = SystemTime::now();
        self.authority.issue(&Wanted::server(names).validity(now - DAY, now + 365 * DAY))
    }
}

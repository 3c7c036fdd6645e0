//! 7.1: reading a kubeconfig.

use std::io;
use std::path::Path;
use std::time::Duration;

use kubesmith_checks::{Rng, expect, expect_eq, seeds, within};
use kubesmith_request_flow::kubeconfig::{Connection, Credentials, Files, Kubeconfig, KubeconfigError, Trust};

const LIMIT: Duration = Duration::from_secs(10);

const TWO: &str = "
current-context: home
contexts:
- {name: work, context: {cluster: office, user: ann, namespace: shop}}
- {name: home, context: {cluster: garage, user: bob}}
clusters:
- {name: office, cluster: {server: 'https://office:6443', certificate-authority: office.crt}}
- {name: garage, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: Z2FyYWdlIENB}}
users:
- {name: bob, user: {token: bobs-token}}
- {name: ann, user: {client-certificate: ann.crt, client-key: /keys/ann.key}}
";

/// Every file says its own path, except those whose name begins with `no`.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("no")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(format!("<{}>\n", path.display()).into_bytes())
}

fn connection(text: &str, context: Option<&str>) -> Result<Connection, KubeconfigError> {
    let files = Files { directory: Path::new("/home/bob/.kube"), read: &read };
    Kubeconfig::parse(text)?.connection(context, &files)
}

/// A kubeconfig with one context, whose cluster and user are given.
fn with(cluster: &str, user: &str) -> Result<Connection, KubeconfigError> {
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: 'https://k', {cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
    );
    connection(&text, None)
}

#[test]
fn the_current_context_chooses_cluster_and_user_by_name() {
    within(LIMIT, || {
        let home = Connection {
            server: "https://127.0.0.1:6443".to_owned(),
            tls_server_name: None,
            trust: Trust::Only(b"garage CA".to_vec()),
            credentials: Credentials::Token("bobs-token".to_owned()),
            namespace: "default".to_owned(),
        };
        let why = "The lists are in no particular order: the first user isn't the first context's.";
        expect_eq(&connection(TWO, None), &Ok(home), "the current context", why);
    });
}

#[test]
fn a_context_asked_for_wins_over_the_current_one() {
    within(LIMIT, || {
        let work = connection(TWO, Some("work"));
        let why = "Whoever types --context work must not change the cluster at home.";
        expect_eq(&work.as_ref().map(|it| it.server.as_str()), &Ok("https://office:6443"), "--context work", why);
        let why = "The context's namespace is where its owner expects a command without -n to act.";
        expect_eq(&work.as_ref().map(|it| it.namespace.as_str()), &Ok("shop"), "its namespace", why);
    });
}

#[test]
fn a_relative_path_begins_at_the_kubeconfig() {
    within(LIMIT, || {
        let work = connection(TWO, Some("work"));
        let why = "kubectl is started anywhere; the file it reads stays where it is.";
        let trust = Trust::Only(b"</home/bob/.kube/office.crt>\n".to_vec());
        expect_eq(&work.as_ref().map(|it| it.trust.clone()), &Ok(trust), "certificate-authority: office.crt", why);
        let credentials = Credentials::Certificate {
            certificate: b"</home/bob/.kube/ann.crt>\n".to_vec(),
            key: b"</keys/ann.key>\n".to_vec(),
        };
        let why = "A path that begins with a slash is whole already.";
        expect_eq(&work.map(|it| it.credentials), &Ok(credentials), "ann.crt and /keys/ann.key", why);
    });
}

#[test]
fn a_name_that_leads_nowhere_is_said() {
    within(LIMIT, || {
        let why = "A connection to the wrong cluster is worse than none.";
        let unknown = Err(KubeconfigError::UnknownContext("school".to_owned()));
        expect_eq(&connection(TWO, Some("school")), &unknown, "--context school", why);
        let no_cluster = TWO.replace("name: garage, cluster", "name: shed, cluster");
        let (context, cluster) = ("home".to_owned(), "garage".to_owned());
        let unknown = Err(KubeconfigError::UnknownCluster { context, cluster });
        expect_eq(&connection(&no_cluster, None), &unknown, "a cluster that isn't there", why);
        let no_user = TWO.replace("name: bob, user", "name: rob, user");
        let (context, user) = ("home".to_owned(), "bob".to_owned());
        let unknown = Err(KubeconfigError::UnknownUser { context, user });
        let why = "Going on as nobody would end in a 403 that explains nothing.";
        expect_eq(&connection(&no_user, None), &unknown, "a user who isn't there", why);
        let why = "An empty kubeconfig has `contexts: null`: nothing is chosen, and that can be said.";
        let empty = connection("{contexts: null, clusters: null, users: null, current-context: ''}", None);
        expect_eq(&empty, &Err(KubeconfigError::NoContext), "an empty kubeconfig", why);
        let no_server = connection(&TWO.replace("server: 'https://127.0.0.1:6443', ", ""), None);
        let why = "There is no address that would be a good guess.";
        expect_eq(&no_server, &Err(KubeconfigError::NoServer("garage".to_owned())), "a cluster without a server", why);
    });
}

#[test]
fn nobody_is_trusted_by_accident() {
    within(LIMIT, || {
        let trust = |cluster: &str| with(cluster, "").map(|it| it.trust);
        let why = "Without an authority of its own, a cluster is a web site like any other.";
        expect_eq(&trust(""), &Ok(Trust::System), "no authority", why);
        let why = "Who writes insecure-skip-tls-verify means it.";
        expect_eq(&trust("insecure-skip-tls-verify: true"), &Ok(Trust::Anyone), "insecure", why);
        let both = trust("insecure-skip-tls-verify: true, certificate-authority: ca.crt");
        let why = "Of an authority and of none, only one can be meant, and guessing wrong hands over the credentials.";
        expect_eq(&both, &Err(KubeconfigError::InsecureWithAuthority("k".to_owned())), "both", why);
        let data = trust("certificate-authority-data: bm93, certificate-authority: no-such-file");
        let why = "Data that is here wins over a file that may be old; the file isn't even read.";
        expect_eq(&data, &Ok(Trust::Only(b"now".to_vec())), "data and a file", why);
        let why = "An authority that can't be read isn't the same as no authority.";
        let broken = trust("certificate-authority-data: '***'");
        expect_eq(&broken, &Err(KubeconfigError::NotBase64("certificate-authority")), "data that isn't base64", why);
        let missing = matches!(
            trust("certificate-authority: no-such-file"),
            Err(KubeconfigError::Unreadable { field: "certificate-authority", path, .. })
                if path == "/home/bob/.kube/no-such-file"
        );
        expect(missing, "a file that isn't there is said with its whole path and its field", why);
        expect_eq(&trust("certificate-authority: ''"), &Ok(Trust::System), "an empty field", "It says nothing.");
    });
}

#[test]
fn a_token_in_a_file_is_the_newest() {
    within(LIMIT, || {
        let credentials = |user: &str| with("", user).map(|it| it.credentials);
        let token = |text: &str| Ok(Credentials::Token(text.to_owned()));
        let why = "A pod's token file is written anew every hour, and ends in a line break that is no part of it.";
        let both = credentials("token: old, tokenFile: token");
        expect_eq(&both, &token("</home/bob/.kube/token>"), "a token and a tokenFile", why);
        let why = "A token says who one is all by itself.";
        let user = "token: t, client-certificate-data: YQ==, client-key-data: Yg==";
        expect_eq(&credentials(user), &token("t"), "a token and a certificate", why);
    });
}

#[test]
fn a_certificate_is_of_no_use_without_its_key() {
    within(LIMIT, || {
        let half = Err(KubeconfigError::HalfACertificate("u".to_owned()));
        let why = "Sent as nobody, the request would fail far from its cause.";
        for user in ["client-certificate-data: YQ==", "client-key: key", "client-key: key, client-certificate: ''"] {
            expect_eq(&with("", user).map(|it| it.credentials), &half, user, why);
        }
        let whole = Credentials::Certificate { certificate: b"a".to_vec(), key: b"b".to_vec() };
        let user = "client-certificate-data: YQ==, client-key-data: Yg==";
        expect_eq(&with("", user).map(|it| it.credentials), &Ok(whole), user, "Both together are who one is.");
        expect_eq(
            &with("", "").map(|it| it.credentials),
            &Ok(Credentials::Anonymous),
            "nothing",
            "Nobody is somebody too.",
        );
    });
}

#[test]
fn a_way_in_that_is_not_built_is_refused() {
    within(LIMIT, || {
        let why = "Leaving it out in silence would mean going in as nobody.";
        for (way, user) in [
            ("exec", "exec: {command: aws}, token: t"),
            ("auth-provider", "auth-provider: {name: gcp}"),
            ("username", "username: admin"),
        ] {
            let refused = Err(KubeconfigError::Unsupported { user: "u".to_owned(), way });
            expect_eq(&with("", user).map(|it| it.credentials), &refused, user, why);
        }
    });
}

#[test]
fn the_order_of_the_lists_means_nothing() {
    within(LIMIT, || {
        for seed in seeds(200) {
            let mut rng = Rng::new(seed);
            let mut kubeconfig = Kubeconfig::parse(TWO).expect("a kubeconfig");
            for _ in 0..rng.below(4) {
                kubeconfig.clusters.rotate_left(1);
                if rng.below(2) == 0 {
                    kubeconfig.users.rotate_left(1);
                }
                if rng.below(2) == 0 {
                    kubeconfig.contexts.rotate_left(1);
                }
            }
            let context = *rng.pick(&["work", "home"]);
            let files = Files { directory: Path::new("/home/bob/.kube"), read: &read };
            expect_eq(
                &kubeconfig.connection(Some(context), &files),
                &connection(TWO, Some(context)),
                &format!("seed {seed}: --context {context}, with the lists in another order"),
                "Tools add entries at the front or at the end, as they like.",
            );
        }
    });
}

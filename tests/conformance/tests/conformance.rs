//! Our implementation passes every case of the conformance suite: on both adapters and as the event
//! loop example of the bare core, in both roles, with and without typed streams. And the suite can
//! fail.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use muxado_conformance::echo::{Endpoint, Example, Runtime};
use muxado_conformance::{Case, Outcome, Reach, Role, Settings, Status, cases, report, run};
use muxado_tests::programs;

/// Cases at a time; the tests of this file also run concurrently.
const JOBS: usize = 8;

fn settings(role: Role, typed: bool, patience: Duration) -> Arc<Settings> {
    Arc::new(Settings { role, typed, window: 262_144, patience })
}

fn cases_for(typed: bool) -> Vec<&'static Case> {
    cases::all().filter(|case| case.scope.includes(typed)).collect()
}

/// The event loop example.
static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut examples = programs::examples().expect("cargo builds the examples");
    examples.remove("event_loop").expect("it is one of them")
});

/// The runtime on which the suite waits.
fn waiter() -> tokio::runtime::Runtime {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio.expect("a runtime starts")
}

/// Runs all cases against an adapter: a server listens, a client dials, so both ways to connect are
/// used.
fn check(runtime: Runtime, role: Role, typed: bool) {
    let endpoint = Endpoint::new(runtime, role.into(), typed);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let addr = listener.local_addr().expect("a bound listener has an address");
    let tokio = waiter();
    let reach = match role {
        Role::Server => {
            thread::spawn(move || endpoint.serve(listener));
            Reach::dial(addr.to_string())
        }
        Role::Client => {
            thread::spawn(move || endpoint.dial(addr, JOBS));
            listener.set_nonblocking(true).expect("listeners can be made so");
            let _in_runtime = tokio.enter();
            let listener = tokio::net::TcpListener::from_std(listener);
            Reach::listen(listener.expect("the runtime takes the listener"))
        }
    };
    passes(&tokio, &reach, role, typed);
}

/// Runs all cases against the example, which listens in either role.
fn check_example(role: Role, typed: bool) {
    let example = Example::start(&EXAMPLE, role.into(), typed).expect("the example starts");
    passes(&waiter(), &Reach::dial(example.address().to_string()), role, typed);
}

/// Asserts that the endpoint passes all cases.
fn passes(tokio: &tokio::runtime::Runtime, reach: &Reach, role: Role, typed: bool) {
    // Only a failing case waits this long.
    let settings = settings(role, typed, Duration::from_secs(30));
    let outcomes = tokio.block_on(run(reach, &settings, &cases_for(typed), JOBS, |_| {}));
    let bad: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.status, Status::Failed | Status::Error))
        .collect();
    let report: Vec<String> = bad
        .iter()
        .map(|outcome| format!("{}\n    {}", report::line(outcome), outcome.trace.join("\n    ")))
        .collect();
    assert!(bad.is_empty(), "{}", report.join("\n"));
    let passed = outcomes.iter().filter(|outcome| outcome.status == Status::Passed).count();
    assert!(passed > 150, "only {passed} cases ran");
}

macro_rules! conforms {
    ($($name:ident: $runtime:ident, $role:ident, $typed:literal;)*) => {
        $(
            #[test]
            fn $name() {
                check(Runtime::$runtime, Role::$role, $typed);
            }
        )*
    };
}

conforms! {
    tokio_server: Tokio, Server, false;
    tokio_client: Tokio, Client, false;
    tokio_server_typed: Tokio, Server, true;
    tokio_client_typed: Tokio, Client, true;
    smol_server: Smol, Server, false;
    smol_client: Smol, Client, false;
    smol_server_typed: Smol, Server, true;
    smol_client_typed: Smol, Client, true;
}

#[test]
fn example_server() {
    check_example(Role::Server, false);
}

#[test]
fn example_client() {
    check_example(Role::Client, false);
}

#[test]
fn example_server_typed() {
    check_example(Role::Server, true);
}

#[test]
fn example_client_typed() {
    check_example(Role::Client, true);
}

/// A case that passes against a silent endpoint checks nothing.
#[test]
fn no_case_passes_against_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let addr = listener.local_addr().expect("a bound listener has an address");
    thread::spawn(move || {
        for transport in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut transport = transport;
                let mut buffer = [0; 65_536];
                // Never ends the transport, not even after the suite has.
                while transport.read(&mut buffer).is_ok_and(|n| n > 0) {}
                thread::park();
            });
        }
    });
    let tokio = waiter();
    for typed in [false, true] {
        let settings = settings(Role::Server, typed, Duration::from_millis(50));
        let reach = Reach::dial(addr.to_string());
        let outcomes = tokio.block_on(run(&reach, &settings, &cases_for(typed), JOBS, |_| {}));
        for outcome in outcomes {
            assert_eq!(outcome.status, Status::Failed, "{}", report::line(&outcome));
            assert!(!outcome.trace.is_empty(), "{} sent nothing", outcome.name);
        }
    }
}

/// Machines read the XML output.
#[test]
fn reports_are_well_formed() {
    let outcome = Outcome {
        status: Status::Failed,
        seen: "a < b & \"c\"".into(),
        wanted: Some("a > b".into()),
        trace: vec!["sent DATA|SYN stream 3 length 2".into()],
        milliseconds: 7,
        ..passed_outcome()
    };
    let outcomes = [passed_outcome(), outcome];
    let xml = report::junit(&outcomes).expect("the report serializes");
    assert!(xml.contains("tests=\"2\"") && xml.contains("failures=\"1\""), "{xml}");
    assert!(xml.contains("a &lt; b &amp; &quot;c&quot;"), "{xml}");
    let settings = settings(Role::Server, false, Duration::from_secs(1));
    let json = report::json(&settings, &outcomes).expect("the report serializes");
    let json: serde_json::Value = serde_json::from_str(&json).expect("the report is JSON");
    assert_eq!(json["must"]["passed"], 1);
    assert_eq!(json["must"]["failed"], 1);
    assert_eq!(json["cases"][1]["seen"], "a < b & \"c\"");
    assert_eq!(report::summary(&outcomes), "MUST: 1 passed, 1 failed\nSHOULD: 0 passed, 0 failed");
}

fn passed_outcome() -> Outcome {
    let case = cases::all().next().expect("there are cases");
    Outcome {
        name: case.name,
        class: case.class,
        rule: case.rule,
        given: case.given,
        expected: case.expected,
        status: Status::Passed,
        seen: "3 bytes, FIN".into(),
        wanted: None,
        trace: Vec::new(),
        milliseconds: 1,
    }
}

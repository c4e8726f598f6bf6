//! `--json`: one object on one line whatever happens, with fields that scripts can rely on.

use std::net::TcpListener;

use serde_json::json;

use crate::scratch::Scratch;

#[test]
fn a_knock_says_what_it_asked_of_whom() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22,udp/53 --window 45s");
    let server = format!("127.0.0.1:{}", listener.port());
    let mut object = scratch.client("--json -A tcp/22").object();
    let time = object.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    let expected = json!({
        "status": 0, "profile": "laptop", "host": "127.0.0.1", "request": "open", "services": ["tcp/22"],
        "window": 45, "sent_to": [server],
    });
    assert_eq!(object, expected);
    assert_eq!(listener.heard().len(), 2);
}

#[test]
fn a_close_has_no_window_and_all_is_an_empty_list() {
    let scratch = Scratch::new();
    let _listener = scratch.profile("laptop", "--open tcp/22");
    let object = scratch.client("--json --close").object();
    assert_eq!((&object["request"], &object["services"]), (&json!("close"), &json!([])));
    assert_eq!(object.get("window"), None);
}

#[test]
fn a_dry_run_says_where_to_and_for_whom() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let server = format!("127.0.0.1:{}", listener.port());
    let said = scratch.client("--json --dry-run -a source").object();
    assert_eq!(said["would_send"], json!([{ "to": server, "for": "source" }]));
    assert_eq!(said.get("sent_to"), None);
    let said = scratch.client("--json --dry-run -a 192.0.2.0/24 --save-packet packet").object();
    assert_eq!(said["would_send"], json!([{ "to": server, "for": "192.0.2.0/24" }]));
    assert!(scratch.path("packet").exists());
    assert!(listener.heard().is_empty(), "nothing was sent");
}

#[test]
fn a_wait_and_ensure_say_who_answered_and_when() {
    let scratch = Scratch::new();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = service.local_addr().unwrap();
    let _listener = scratch.profile("laptop", &format!("--open tcp/{}", at.port()));
    let waited = scratch.client("--json --wait").object();
    assert_eq!(waited["answered"], json!(at.to_string()));
    assert!(waited["milliseconds"].as_f64().is_some_and(|took| (0.0..10_000.0).contains(&took)), "{waited}");
    let believed = scratch.client("--json ensure").object();
    assert_eq!((&believed["believed_open"], believed.get("answered")), (&json!(true), None));
    drop(service);
    let refused = scratch.client("--json --wait=1s");
    assert_eq!(refused.object()["status"], 8);
    let service = TcpListener::bind(at).unwrap();
    let anew = scratch.client("--json ensure").object();
    assert_eq!((&anew["believed_open"], &anew["answered"]), (&json!(false), &json!(at.to_string())));
    drop(service);
}

#[test]
fn a_failure_is_an_object_with_status_error_and_hint_beside_the_lines_for_people() {
    let scratch = Scratch::new();
    let done = scratch.client("--json --profile nobody");
    let object = done.object();
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["error", "hint", "status"]);
    assert_eq!(object["status"], 3);
    let lines = format!(
        "spa-client: {}\n  hint: {}\n",
        object["error"].as_str().unwrap(),
        object["hint"].as_str().unwrap()
    );
    assert_eq!(done.err, lines);
}

#[test]
fn where_standard_output_belongs_to_somebody_else_it_is_refused() {
    let scratch = Scratch::new();
    let _listener = scratch.profile("laptop", "--open tcp/22");
    for arguments in ["--json connect 127.0.0.1 22", "--json run -- true"] {
        let done = scratch.client(arguments);
        assert_eq!((done.status, done.err.lines().count()), (2, 1), "{}", done.err);
        assert!(done.err.contains("--json"), "{}", done.err);
    }
}

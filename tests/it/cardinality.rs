//! Which label explodes, from outside: the page says it, `status/tsdb` has the numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::server::{Server, encode};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn write(server: &Server, metric: &str, job: &str, ids: std::ops::Range<u32>) {
    let samples = [(now_ms(), 1.0)];
    let ids: Vec<String> = ids.map(|id| format!("<i>{id:04}")).collect();
    let labels: Vec<_> =
        ids.iter().map(|id| [("__name__", metric), ("id", id), ("job", job)]).collect();
    let series: Vec<_> = labels.iter().map(|labels| (&labels[..], &samples[..])).collect();
    assert_eq!(server.write(&series).status, 204);
}

fn tsdb(server: &Server, parameters: &str) -> Value {
    server.get(&format!("/api/v1/status/tsdb?{parameters}")).json()["data"].clone()
}

#[test]
fn the_label_that_explodes_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let page = server.get("/cardinality");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Nothing is stored for this tenant yet."), "{}", page.text());
    write(&server, "up", "a", 0..150);
    let text = server.get("/cardinality").text();
    assert!(text.contains("there is nothing to compare them with"), "{text}");

    // What is replayed is not new.
    let server = Server::start(&server.kill(), &[]);
    let text = server.get("/cardinality?by=growth").text();
    assert!(text.contains("No label grew by more than half"), "{text}");
    write(&server, "requests_total", "b", 1000..1120);
    let text = server.get("/cardinality").text();
    for part in [
        ">id</a></b> explodes: 120 of its 270 values are new since the start",
        ">requests_total</a></b> has the most of them, 120 new series",
        "Most come from job ",
        "For example &lt;i&gt;1000",
        "<code>storage.max_series</code></td><td class=\"n\">270</td>",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("<i>"), "{text}");
    let selector = encode(r#"{job="a"}"#);
    let text = server.get(&format!("/cardinality?match={selector}&focus=id&limit=200")).text();
    assert!(text.contains("Values of <span class=\"mono\">id</span>"), "{text}");
    assert!(text.contains("&lt;i&gt;0149") && !text.contains("&lt;i&gt;1000"), "{text}");
    let bad = server.get("/cardinality?match=%7Bjob");
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("unexpected end of input inside braces"), "{}", bad.text());

    let one = |name: &str, value: u64| json!([{"name": name, "value": value}]);
    let all = tsdb(&server, "topN=1&focusLabel=job&date=2020-01-01");
    for (key, value) in [
        ("totalSeries", json!(270)),
        ("totalLabelValuePairs", json!(810)),
        ("seriesCountByMetricName", one("up", 150)),
        ("labelValueCountByLabelName", one("id", 270)),
        ("memoryInBytesByLabelName", one("__name__", 150 * 2 + 120 * 14)),
        ("seriesCountByFocusLabelValue", one("a", 150)),
        ("seriesCountByJob", one("a", 150)),
        ("totalNewSeries", json!(120)),
        ("newSeriesCountByJob", one("b", 120)),
        ("newLabelValueCountByLabelName", one("id", 120)),
        ("newSinceStart", json!(true)),
    ] {
        assert_eq!(all[key], value, "{key}");
    }
    assert_eq!(all["headStats"]["numSeries"], 270);
    let narrowed = tsdb(&server, &format!("limit=1&match[]={selector}&since=0s"));
    assert_eq!(narrowed["totalSeries"], 150);
    assert_eq!(
        (&narrowed["totalNewSeries"], &narrowed["newSinceStart"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(narrowed["headStats"]["numSeries"], 270);
    for bad in ["topN=0", "match[]=%7B", "match[]=%7B%7D", "since=x"] {
        let reply = server.get(&format!("/api/v1/status/tsdb?{bad}"));
        assert_eq!((reply.status, &reply.json()["errorType"]), (400, &json!("bad_data")), "{bad}");
    }
}

//! The frame around every page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = r#"
:root{color-scheme:light dark;--bg:#fbfbfa;--fg:#1c1d1f;--dim:#64686d;--line:#e3e3df;--card:#fff;--accent:#0b6b53;--code:#f3f3ef;--bad:#b3261e;--warn:#8a5a00;--bar:#dcefe8}
@media (prefers-color-scheme:dark){:root{--bg:#141517;--fg:#e7e7e4;--dim:#9b9fa5;--line:#2b2d31;--card:#1b1c1f;--accent:#5fd0ac;--code:#222428;--bad:#ff8a80;--warn:#e8b45a;--bar:#1d3a31}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header,footer{max-width:64rem;margin:0 auto;padding:0 1.25rem}
header{display:flex;align-items:baseline;gap:1.25rem;padding-top:1.5rem;flex-wrap:wrap}
header a.brand{font-weight:700;font-size:1.15rem;color:var(--fg);text-decoration:none;letter-spacing:-.01em}
nav{display:flex;gap:1rem;flex-wrap:wrap;font-size:.9rem}
a{color:var(--accent);text-underline-offset:.15em}
h1{font-size:1.7rem;line-height:1.25;letter-spacing:-.02em;margin:2rem 0 .4rem}
h2{font-size:1.05rem;margin:2.4rem 0 .6rem}
h3{font-size:.95rem;margin:1.6rem 0 .5rem}
p{margin:.4rem 0;max-width:44rem}
.dim{color:var(--dim)}.small{font-size:.875rem}.bad{color:var(--bad)}.warn{color:var(--warn)}
pre{background:var(--code);border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem;overflow-x:auto;font-size:.9rem;line-height:1.5;margin:.6rem 0}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{font-size:.92em}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.5rem .8rem;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th{font-weight:600;color:var(--dim);white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.series{overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.75rem;margin:.6rem 0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.65rem .9rem}
.facts dt,.facts dd{margin:0}.facts dt{font-size:.8rem;color:var(--dim)}.facts dd{font-size:1.1rem;font-variant-numeric:tabular-nums}
.note{border:1px solid var(--line);border-left:3px solid var(--warn);background:var(--card);border-radius:6px;padding:.6rem .9rem;margin:.8rem 0}
.note.bad{border-left-color:var(--bad)}
.cols{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(28rem,100%),1fr));gap:0 1.25rem}
.cols h2{margin-top:1.6rem}.cols th,.cols td{padding:.35rem .55rem}.cols td.mono{font-size:.82rem}
td.mono a{text-decoration:none}td.mono a:hover{text-decoration:underline}
.note.alarm{border-left-color:var(--bad)}.note.alarm b{font-weight:600}
.tag{display:inline-block;border:1px solid var(--line);background:var(--card);border-radius:6px;padding:.1rem .5rem;margin:0 .4rem .3rem 0}
form{margin:1.2rem 0}
textarea,input{width:100%;font:inherit;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.95rem;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}
textarea:focus,input:focus,button:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
.row{display:flex;gap:.75rem;margin-top:.6rem;align-items:end;flex-wrap:wrap}.row label{flex:1 1 16rem;font-size:.85rem;color:var(--dim)}
button{font:inherit;font-weight:600;padding:.55rem 1.3rem;border:0;border-radius:8px;background:var(--accent);color:var(--bg);cursor:pointer}
footer{padding-top:2.5rem;padding-bottom:2rem;font-size:.85rem;color:var(--dim)}
"#;

/// A whole page.
pub(super) fn layout(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a.brand href="./" { "nines" }
                    nav {
                        a href="graph" { "Query" }
                        a href="queries" { "Queries" }
                        a href="metrics" { "Metrics" }
                        a href="cardinality" { "Cardinality" }
                        a href="api/v1/status/config" { "Config" }
                    }
                }
                main { (body) }
            }
        }
    }
    .into_string()
}

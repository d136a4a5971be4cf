//! How the page looks, on bright screens and dark ones.

pub(super) const CSS: &str = "\
:root{color-scheme:light dark;--text:#1d2129;--dim:#667085;--line:#d9dde3;--back:#fff;\
--ours:#0b6bcb;--peer:#9aa4b2;--good:#177245;--bad:#b42318}\
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--dim:#98a2b3;--line:#343a46;--back:#14171c;\
--ours:#5aa9ff;--peer:#667085;--good:#5fd08f;--bad:#ff8a7a}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);max-width:1180px;\
margin:2rem auto;padding:0 1rem}\
h1{font-size:1.7rem}h2{margin-top:2.2rem;font-size:1.25rem}h3{margin:1.4rem 0 .3rem;font-size:1rem}\
table{border-collapse:collapse;display:block;overflow-x:auto}\
td,th{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}\
th{color:var(--dim);font-weight:500}td.n{text-align:right;font-variant-numeric:tabular-nums}\
td small{display:block;color:var(--dim);font-size:.75em}\
.met{color:var(--good)}.missed{color:var(--bad)}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:1.5rem}\
figure{margin:0;border:1px solid var(--line);border-radius:8px;padding:.8rem}\
figcaption{font-weight:600}figcaption small{color:var(--dim);font-weight:400;margin-left:.5rem}\
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--text)}\
svg .dim{fill:var(--dim)}svg .group{font-weight:600}\
svg .ours{fill:var(--ours)}svg .peer{fill:var(--peer)}\
svg .range{stroke:var(--text);stroke-width:1.2;opacity:.55}";

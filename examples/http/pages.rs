//! The pages that the image carries.

/// Type and contents of the page at `path`.
pub fn find(path: &[u8]) -> Option<(&'static str, &'static [u8])> {
    Some(match path {
        b"/" | b"/index.html" => ("text/html; charset=utf-8", include_bytes!("pages/index.html")),
        b"/style.css" => ("text/css", include_bytes!("pages/style.css")),
        b"/script.js" => ("text/javascript", include_bytes!("pages/script.js")),
        b"/favicon.ico" => ("image/svg+xml", include_bytes!("pages/icon.svg")),
        _ => return None,
    })
}

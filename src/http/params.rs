//! Parameters of a request: those of the URL and those of a form body together, as Go's `Request.Form` has them.
//! The first value of a name wins, and the body comes before the URL.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nines_storage::model::{Matcher, TimeRange};

use super::app::{App, HeldBytes};
use super::error::{ApiError, ApiResult, plain};
use super::evaluate;
use super::limits::FORM_BYTES_MAX;
use super::time::{MAX_TIME_MS, MIN_TIME_MS, parse_duration_ns, parse_time};
use crate::promql::REGEXES_MAX;

/// The parameters of one request in the order of their appearance, and what their form is charged for.
#[derive(Default)]
pub(super) struct Params(
    Vec<(String, String)>,
    #[expect(dead_code, reason = "held until it is dropped")] Option<HeldBytes>,
);

/// Reads a form under limits of size, time and bytes in flight.
async fn read_form(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, HeldBytes), Response> {
    let too_large = || form_error("http: request body too large".to_owned());
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(FORM_BYTES_MAX as u64);
    if declared > FORM_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let Some(held) = HeldBytes::take(app, declared) else {
        return Err(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the forms being received have as many bytes as write.max_inflight_bytes allows: try again\n",
        ));
    };
    let whole = axum::body::to_bytes(body, FORM_BYTES_MAX);
    match tokio::time::timeout(app.config.write.body_timeout.0, whole).await {
        Ok(Ok(bytes)) => Ok((bytes, held)),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time\n")),
    }
}

impl FromRequest<Arc<App>> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mut pairs = Vec::new();
        let mut held = None;
        let has_form = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH)
            && parts
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .is_some_and(|kind| {
                    let kind = kind.split(';').next().unwrap_or_default().trim();
                    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
                });
        if has_form {
            let (body, form) = read_form(app, &parts.headers, body).await?;
            held = Some(form);
            decode_form(&body, &mut pairs).map_err(form_error)?;
        }
        decode_form(parts.uri.query().unwrap_or_default().as_bytes(), &mut pairs)
            .map_err(form_error)?;
        Ok(Self(pairs, held))
    }
}

fn form_error(escape: String) -> Response {
    ApiError::bad_data(format!("error parsing form values: {escape}")).into_response()
}

impl Params {
    /// Those of the URL alone, of a request whose body is something else.
    pub(super) fn of_query(uri: &axum::http::Uri) -> ApiResult<Self> {
        let mut pairs = Vec::new();
        decode_form(uri.query().unwrap_or_default().as_bytes(), &mut pairs)
            .map_err(|escape| ApiError::bad_data(format!("error parsing form values: {escape}")))?;
        Ok(Self(pairs, None))
    }

    /// The first value of `name`, or the empty string.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The values of `name`.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// A time that must be there.
    pub(super) fn required_time(&self, name: &str) -> ApiResult<i64> {
        parse_time(self.get(name)).map_err(|why| ApiError::invalid_param(name, &why))
    }

    /// A time with a default.
    pub(super) fn time_or(&self, name: &str, default_ms: i64) -> ApiResult<i64> {
        match self.get(name) {
            "" => Ok(default_ms),
            text => parse_time(text).map_err(|why| {
                ApiError::invalid_param(name, &format!("invalid time value for '{name}': {why}"))
            }),
        }
    }

    /// `start` and `end`, by default all of time; `end` may lie before `start`.
    pub(super) fn time_range(&self) -> ApiResult<TimeRange> {
        let start = self.time_or("start", MIN_TIME_MS)?;
        let end = self.time_or("end", MAX_TIME_MS)?;
        Ok(TimeRange::new(start, end))
    }

    /// `limit`; 0 or absent means none.
    pub(super) fn limit(&self) -> ApiResult<Option<usize>> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = |why: &str| ApiError::invalid_param("limit", why);
        let n: i64 = text.parse().map_err(|_| {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let why = if is_number { "value out of range" } else { "invalid syntax" };
            invalid(&format!(
                "strconv.Atoi: parsing {}: {why}",
                super::error::go_quote(text.as_bytes())
            ))
        })?;
        if n < 0 {
            return Err(invalid("limit must be non-negative"));
        }
        Ok(usize::try_from(n).ok().filter(|n| *n > 0))
    }

    /// `timeout` in nanoseconds.
    pub(super) fn timeout_ns(&self) -> ApiResult<Option<i64>> {
        match self.get("timeout") {
            "" => Ok(None),
            text => parse_duration_ns(text)
                .map(Some)
                .map_err(|why| ApiError::invalid_param("timeout", &why)),
        }
    }

    /// `lookback_delta` in milliseconds; zero and less mean the default.
    pub(super) fn lookback_ms(&self) -> ApiResult<Option<i64>> {
        match self.get("lookback_delta") {
            "" => Ok(None),
            text => {
                let ns = parse_duration_ns(text).map_err(|why| {
                    ApiError::bad_data(format!("error parsing lookback delta duration: {why}"))
                })?;
                Ok(Some(ns / 1_000_000).filter(|ms| *ms > 0))
            }
        }
    }

    /// The selectors in `match[]`. The error is the text without `invalid parameter`.
    pub(super) fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let (mut sets, mut regexes) = (Vec::new(), 0);
        for text in self.all("match[]") {
            let matchers = evaluate::parse_selector(text)?;
            regexes += matchers.iter().map(Matcher::cost).sum::<usize>();
            if regexes > REGEXES_MAX {
                return Err(format!(
                    "match[] has more than {REGEXES_MAX} regular expressions, a fixed limit: join them with | or ask several times"
                ));
            }
            if matchers.iter().all(Matcher::matches_empty) {
                return Err("match[] must contain at least one non-empty matcher".to_owned());
            }
            sets.push(matchers);
        }
        Ok(sets)
    }
}

/// Decodes `a=b&c=d` into `pairs`. The error names the escape that is wrong, as Go does.
fn decode_form(form: &[u8], pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    for pair in form.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        if pair.contains(&b';') {
            return Err("invalid semicolon separator in query".to_owned());
        }
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => {
                (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default())
            }
            None => (pair, [].as_slice()),
        };
        let text = |bytes| {
            Ok::<_, String>(String::from_utf8_lossy(&percent_decode(bytes, true)?).into_owned())
        };
        pairs.push((text(name)?, text(value)?));
    }
    Ok(())
}

/// Replaces `%41` by its byte and, when `plus` is set, `+` by a space.
pub(super) fn percent_decode(text: &[u8], plus: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |i: usize| text.get(at + i).and_then(|b| char::from(*b).to_digit(16));
                match (digit(1), digit(2)) {
                    (Some(high), Some(low)) => {
                        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                        bytes.nth(1);
                    }
                    _ => {
                        let end = text.len().min(at + 3);
                        let escape = text.get(at..end).unwrap_or_default();
                        return Err(format!(
                            "invalid URL escape {}",
                            super::error::go_quote(escape)
                        ));
                    }
                }
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn params(form: &str) -> Params {
        let mut pairs = Vec::new();
        decode_form(form.as_bytes(), &mut pairs).unwrap();
        Params(pairs, None)
    }

    #[test]
    fn decodes_forms() {
        let p = params("query=a%2Bb+c&match%5B%5D=up&match[]=down&empty&x=1=2&&u=%C3%BC");
        assert_eq!(p.get("query"), "a+b c");
        assert_eq!(p.all("match[]").collect::<Vec<_>>(), ["up", "down"]);
        assert_eq!(p.get("empty"), "");
        assert_eq!(p.get("x"), "1=2");
        assert_eq!(p.get("u"), "ü");
        assert_eq!(p.get("absent"), "");
    }

    #[test]
    fn a_wrong_escape_is_an_error() {
        let mut pairs = Vec::new();
        assert_eq!(decode_form(b"a=%zz", &mut pairs).unwrap_err(), r#"invalid URL escape "%zz""#);
        assert_eq!(decode_form(b"a=%4", &mut pairs).unwrap_err(), r#"invalid URL escape "%4""#);
    }

    #[test]
    fn limits_have_prometheus_texts() {
        let text = |form: &str| match params(form).limit() {
            Err(ApiError::Kind(_, text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text("limit=x"),
            r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#
        );
        assert_eq!(text("limit=-1"), r#"invalid parameter "limit": limit must be non-negative"#);
        assert!(text("limit=99999999999999999999").ends_with("value out of range"));
        assert_eq!(params("limit=0").limit(), Ok(None));
        assert_eq!(params("limit=7").limit(), Ok(Some(7)));
    }

    #[test]
    fn times_have_prometheus_texts() {
        assert_eq!(
            params("time=x").time_or("time", 0),
            Err(ApiError::bad_data(
                r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#
            ))
        );
        assert_eq!(
            params("").required_time("start"),
            Err(ApiError::bad_data(
                r#"invalid parameter "start": cannot parse "" to a valid timestamp"#
            ))
        );
        assert_eq!(params("").time_or("time", 5), Ok(5));
        assert_eq!(params("lookback_delta=-5").lookback_ms(), Ok(None));
        assert_eq!(params("lookback_delta=1m").lookback_ms(), Ok(Some(60_000)));
    }

    #[test]
    fn regular_expressions_of_all_selectors_are_counted() {
        let form = |n| "match[]={a%3D~\"b.*\",c%3D\"d\"}&".repeat(n);
        assert_eq!(params(&form(REGEXES_MAX)).matcher_sets().unwrap().len(), REGEXES_MAX);
        assert_eq!(
            params(&form(REGEXES_MAX + 1)).matcher_sets().unwrap_err(),
            "match[] has more than 256 regular expressions, a fixed limit: join them with | or ask several times"
        );
    }
}

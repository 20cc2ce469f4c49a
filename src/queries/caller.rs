//! Who asks: the address of a connection and what Grafana and others say about themselves.

/// Characters of one field that are remembered.
pub const CALLER_CHARS_MAX: usize = 128;

/// Who asks. Every field but the address is a header, hence what anybody may claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Address and port of the connection.
    pub address: Option<String>,
    /// `X-Forwarded-For`.
    pub forwarded_for: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `X-Grafana-User`, which Grafana sends with `send_user_header`.
    pub grafana_user: Option<String>,
    /// `X-Grafana-Org-Id`.
    pub grafana_org_id: Option<String>,
    /// `X-Datasource-Uid`.
    pub datasource_uid: Option<String>,
    /// `X-Dashboard-Uid`.
    pub dashboard_uid: Option<String>,
    /// `X-Dashboard-Title`.
    pub dashboard_title: Option<String>,
    /// `X-Panel-Id`.
    pub panel_id: Option<String>,
    /// `X-Panel-Title`.
    pub panel_title: Option<String>,
    /// `X-Rule-Uid` of an alert rule.
    pub rule_uid: Option<String>,
    /// `X-Rule-Name`.
    pub rule_name: Option<String>,
}

impl Caller {
    /// From the headers of a request.
    pub fn of<'h>(address: Option<String>, header: impl Fn(&str) -> Option<&'h [u8]>) -> Self {
        let field = |name: &str| header(name).map(clean).filter(|text| !text.is_empty());
        Self {
            address,
            forwarded_for: field("x-forwarded-for"),
            user_agent: field("user-agent"),
            grafana_user: field("x-grafana-user"),
            grafana_org_id: field("x-grafana-org-id"),
            datasource_uid: field("x-datasource-uid"),
            dashboard_uid: field("x-dashboard-uid"),
            dashboard_title: field("x-dashboard-title"),
            panel_id: field("x-panel-id"),
            panel_title: field("x-panel-title"),
            rule_uid: field("x-rule-uid"),
            rule_name: field("x-rule-name"),
        }
    }

    /// What is known, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("remote_addr", &self.address),
            ("forwarded_for", &self.forwarded_for),
            ("user_agent", &self.user_agent),
            ("grafana_user", &self.grafana_user),
            ("grafana_org_id", &self.grafana_org_id),
            ("datasource_uid", &self.datasource_uid),
            ("dashboard_uid", &self.dashboard_uid),
            ("dashboard_title", &self.dashboard_title),
            ("panel_id", &self.panel_id),
            ("panel_title", &self.panel_title),
            ("rule_uid", &self.rule_uid),
            ("rule_name", &self.rule_name),
        ]
        .into_iter()
        .filter_map(|(name, field)| Some((name, field.as_deref()?)))
    }
}

/// A header as text that cannot break a line or turn its direction, cut to [`CALLER_CHARS_MAX`]. Browsers write what
/// is not ASCII as Latin-1, Grafana's backend as UTF-8.
#[must_use]
pub fn clean(bytes: &[u8]) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns { '\u{fffd}' } else { c }
    };
    let cut = |chars: &mut dyn Iterator<Item = char>| {
        chars.map(harmless).take(CALLER_CHARS_MAX).collect::<String>()
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => cut(&mut text.chars()),
        Err(_) => cut(&mut bytes.iter().map(|b| char::from(*b))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_harmless_text() {
        assert_eq!(clean(b"a\tb\x7f\x1b[31m"), "a\u{fffd}b\u{fffd}\u{fffd}[31m");
        assert_eq!(clean("Übersicht \u{202e}gnp".as_bytes()), "Übersicht \u{fffd}gnp");
        assert_eq!(clean(b"Vis\xe3o geral"), "Visão geral");
        assert_eq!(clean("ü".repeat(500).as_bytes()).chars().count(), CALLER_CHARS_MAX);
    }

    #[test]
    fn what_is_not_said_is_left_out() {
        let caller = Caller::of(Some("10.0.0.7:4711".to_owned()), |name| match name {
            "x-dashboard-uid" => Some(b"E2Kbo".as_slice()),
            "x-panel-id" => Some(b""),
            _ => None,
        });
        let fields: Vec<_> = caller.fields().collect();
        assert_eq!(fields, [("remote_addr", "10.0.0.7:4711"), ("dashboard_uid", "E2Kbo")]);
    }
}

//! What a registry asks for when it says 401: `Bearer realm="…",service="…"` or `Basic realm="…"` (RFC 9110, 11.6.1).
//! Hostile: what does not read cleanly is no challenge, and nothing of it is ever shown.

/// Longest header that is looked at.
const LENGTH_MAX: usize = 4_096;

/// How to prove who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password.
    Basic,
    /// With a token that is had at `realm`.
    Bearer { realm: String, service: Option<String> },
}

/// The best of what several headers ask for.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Challenge> {
    let asked: Vec<Challenge> = headers.filter_map(parse).collect();
    let token = asked.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
    token.or_else(|| asked.first()).cloned()
}

fn parse(header: &[u8]) -> Option<Challenge> {
    if header.len() > LENGTH_MAX {
        return None;
    }
    let text = std::str::from_utf8(header).ok()?.trim();
    let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            break;
        }
        let (key, after) = rest.split_once('=')?;
        let value;
        (value, rest) = value_of(after)?;
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "realm" => &mut realm,
            "service" => &mut service,
            // The scope is what this side needs, not what the other names.
            _ => continue,
        };
        // Of two stories neither is believed.
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(Challenge::Bearer { realm: realm?, service })
}

/// A token or a quoted text, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(headers: &[&[u8]]) -> Option<Challenge> {
        choose(headers.iter().copied())
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            let (realm, service) = (realm.to_owned(), service.map(str::to_owned));
            Some(Challenge::Bearer { realm, service })
        };
        let hub: &[u8] = br#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let both = bearer("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(chosen(&[hub]), both);
        assert_eq!(chosen(&[b"Basic realm=\"x\"", hub]), both);
        assert_eq!(chosen(&[b"basic"]), Some(Challenge::Basic));
        assert_eq!(chosen(&[br#"bearer realm="a\"b" , service=c"#]), bearer("a\"b", Some("c")));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_header_is_a_challenge_or_none(
            noise: Vec<u8>,
            near in "(?i:bearer|basic)( ?,?[a-zé]{0,3}=?\"?[a-z\\\\,é]{0,4}\"?){0,4}",
            realm in "[ -~é]{0,40}",
        ) {
            drop(chosen(&[&noise, near.as_bytes()]));
            let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer service=x, realm=\"{escaped}\"");
            let service = Some("x".to_owned());
            let read = chosen(&[header.as_bytes()]);
            proptest::prop_assert_eq!(read, Some(Challenge::Bearer { realm, service }));
        }
    }

    #[test]
    fn what_does_not_read_cleanly_is_no_challenge() {
        let long = format!("Bearer realm=\"{}\"", "x".repeat(5_000));
        for bad in [
            &b""[..],
            b"Negotiate",
            b"Bearer",
            b"Bearer realm",
            b"Bearer realm=\"a",
            b"Bearer realm=\"a\\",
            b"Bearer service=\"a\"",
            b"Bearer realm=\"a\",realm=\"b\"",
            b"Bearer realm=\"\xff\"",
            long.as_bytes(),
        ] {
            assert_eq!(chosen(&[bad]), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}

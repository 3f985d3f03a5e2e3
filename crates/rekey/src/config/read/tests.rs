use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("rekey.toml", text, [])
}

fn from_environment(name: &str, value: &str) -> Result<Config, String> {
    Config::parse("", "", [(OsString::from(name), OsString::from(value))])
}

#[test]
fn the_default_file_says_what_the_defaults_are() {
    let text = uncommented(DEFAULT);
    let all: Table = text.parse().unwrap();
    let named = parse(&text).unwrap();
    assert_eq!(format!("{named:?}"), format!("{:?}", Config::default()));
    // Every key of the struct is in the file: serde lists the keys in its error.
    for (section, keys) in &all {
        let complaint =
            Config::deserialize(format!("[{section}]\nnone = 1").parse::<Table>().unwrap())
                .unwrap_err()
                .message()
                .to_owned();
        let expected: Vec<_> = complaint.split('`').skip(3).step_by(2).collect();
        let keys: Vec<_> = keys.as_table().unwrap().keys().collect();
        assert_eq!(expected.len(), keys.len(), "[{section}]: {complaint}");
        assert!(expected.iter().all(|key| keys.contains(&&(*key).to_owned())), "{complaint}");
    }
    let complaint =
        Config::deserialize("[none]".parse::<Table>().unwrap()).unwrap_err().message().to_owned();
    assert_eq!(complaint.split('`').skip(3).step_by(2).count(), all.len(), "{complaint}");
    assert_eq!(parse(DEFAULT).unwrap().server.listen, Config::default().server.listen);
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place_and_what_is_meant() {
    for (text, told) in [
        (
            "[server]\nlisten = \"0.0.0.0:1\"\nbaseurl = \"\"\n",
            "rekey.toml line 3: there is no setting server.baseurl: did you mean base_url?",
        ),
        ("[sever]\n", "rekey.toml line 1: there is no section [sever]: did you mean server?"),
        (
            "[zzz]\n",
            "rekey.toml line 1: there is no section [zzz]: the sections are changes, egress, keys, limits, log, metrics, server, store, traces",
        ),
        (
            "\n[limits]\nzzz = 1\n",
            "rekey.toml line 3: there is no setting limits.zzz: the settings of [limits] are accounts_per_source, aggregation_time, changes_per_account_per_day, connections_per_network, megabytes_per_source, requests_per_10s, sources_per_owner",
        ),
        (
            "server = 1",
            "rekey.toml line 1: server is a section: write [server] on a line of its own, then its settings",
        ),
        (
            "[changes]\nworkers = \"many\"",
            "rekey.toml line 2: changes.workers must be a whole number, like 64",
        ),
        (
            "[egress]\nallow = [\"10.0.0.0/33\"]",
            "rekey.toml line 2: egress.allow: `10.0.0.0/33` is no host or network: write it like ldap.example.com, 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1",
        ),
        (
            "[server]\ntrusted_proxies = \"10.0.0.0/8\"",
            "rekey.toml line 2: server.trusted_proxies must be a list of texts, like [\"one\", \"another\"]",
        ),
        (
            "[server]\ntrusted_proxies = [1]",
            "rekey.toml line 2: server.trusted_proxies must be a list of texts, like [\"one\", \"another\"]",
        ),
        (
            "[server]\ntrusted_proxies = [\"::1\", \"10.0.0.0/33\"]",
            "rekey.toml line 2: server.trusted_proxies: `10.0.0.0/33` is not a network: write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1",
        ),
        ("[log]\njson = 1", "rekey.toml line 2: log.json must be true or false"),
        (
            "[changes]\ndeadline = 15",
            "rekey.toml line 2: changes.deadline must be a text in quotes, like \"15m\"",
        ),
        (
            "[changes]\n\ndeadline = \"soon\"",
            "rekey.toml line 3: changes.deadline: `soon` is not a length of time: write it like 90s, 15m, 24h or 7d",
        ),
        (
            "[changes]\ndeadline = \"25h\"",
            "rekey.toml line 2: changes.deadline: `25h` is out of range: allowed is 1s to 24h",
        ),
        (
            "[changes]\nper_source = 0",
            "rekey.toml line 2: changes.per_source: it must be a number from 1 to 4096",
        ),
        (
            "[server]\nlisten = \"here\"",
            "rekey.toml line 2: server.listen: `here` is not an address with a port: write it like 127.0.0.1:8080",
        ),
        (
            "[server]\nbase_url = \"rekey.example.com\"",
            "rekey.toml line 2: server.base_url: `rekey.example.com` is not a web address: write it like https://rekey.example.com",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), told, "{text}");
    }
    let told = parse("[server]\nlisten = \n").unwrap_err();
    assert!(told.starts_with("rekey.toml line 2: "), "{told}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nrequests_per_10s = 7";
    let environment = [
        ("REKEY_SERVER__LISTEN", "127.0.0.1:2"),
        ("REKEY_CHANGES__DEADLINE", "2s"),
        ("REKEY_STORE__URL_FILE", "url"),
        ("REKEY_LOG__JSON", "true"),
        ("REKEY_SERVER__TRUSTED_PROXIES", "10.1.0.0/16, ::1,"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let config = Config::parse("rekey.toml", text, environment).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.limits.requests_per_10s, 7);
    assert_eq!(config.changes.deadline.as_secs(), 2);
    assert_eq!(config.store.url_file.unwrap(), Path::new("url"));
    assert!(config.log.json);
    let proxies = config.server.trusted_proxies.iter().map(ToString::to_string);
    assert_eq!(proxies.collect::<Vec<_>>(), ["10.1.0.0/16", "::1/128"]);
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value, told) in [
        (
            "REKEY_SERVER__LISTN",
            "",
            "REKEY_SERVER__LISTN: there is no such setting: did you mean REKEY_SERVER__LISTEN?",
        ),
        (
            "REKEY_CHANGES__WORKERS",
            "x",
            "REKEY_CHANGES__WORKERS: it must be a whole number, like 64",
        ),
        (
            "REKEY_CHANGES__DEADLINE",
            "0s",
            "REKEY_CHANGES__DEADLINE: changes.deadline: `0s` is out of range: allowed is 1s to 24h",
        ),
    ] {
        assert_eq!(from_environment(name, value).unwrap_err(), told);
    }
    for other in ["REKEY_NASTY", "REKEY_TEST_POSTGRES", "REKEY_TEST__X", "PATH"] {
        assert!(from_environment(other, "x").is_ok(), "{other}");
    }
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    for (url, shown) in [
        ("postgres://rekey:a:b@c@db/x", "postgres://rekey:***@db/x"),
        (
            "postgres://rekey@db/x?password=abc&sslmode=require",
            "postgres://rekey@db/x?password=***&sslmode=require",
        ),
        ("postgres://db", "postgres://db"),
        ("rekey.db", "rekey.db"),
    ] {
        assert_eq!(without_password(url), shown);
    }
}

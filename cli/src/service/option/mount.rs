//! `--mount`: one file system for the containers, in Docker's comma-separated grammar.
//! Apart from the other options, because it is a small language of its own.

use bollard_stubs::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation, MountTmpfsOptions,
    MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
};

use crate::parse;

/// Reads `type=bind,source=/a,target=/b,readonly` and the like; a field in quotes may hold commas.
pub(in crate::service) fn mount(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    let mut recursive = None;
    for field in fields(text)? {
        // A flag may stand alone.
        let (key, value) = field.split_once('=').map_or((&*field, None), |(k, v)| (k, Some(v)));
        let text = || value.map(str::to_owned).ok_or_else(|| pair(&field));
        let flag = || flag(key, value.unwrap_or("true"));
        match key {
            "type" => mount.typ = Some(kind(&text()?)?),
            "source" | "src" => mount.source = Some(absolute(&text()?)?),
            "target" | "dst" | "destination" => mount.target = Some(text()?),
            "readonly" | "ro" => mount.read_only = flag()?.then_some(true),
            "consistency" => mount.consistency = Some(text()?),
            "bind-propagation" => bind(&mut mount).propagation = Some(propagation(&text()?)?),
            "bind-nonrecursive" => bind(&mut mount).non_recursive = flag()?.then_some(true),
            "bind-recursive" => recursive = Some(text()?),
            "bind-create-src" => bind(&mut mount).create_mountpoint = flag()?.then_some(true),
            "volume-nocopy" => volume(&mut mount).no_copy = flag()?.then_some(true),
            "volume-subpath" => volume(&mut mount).subpath = Some(text()?),
            "volume-label" => {
                let labels = volume(&mut mount).labels.get_or_insert_default();
                labels.extend([parse::label(&text()?)?]);
            }
            "volume-driver" => driver(&mut mount).name = Some(text()?),
            "volume-opt" => {
                let options = driver(&mut mount).options.get_or_insert_default();
                options.extend([parse::label(&text()?)?]);
            }
            "tmpfs-size" => tmpfs(&mut mount).size_bytes = Some(parse::memory(&text()?)?),
            "tmpfs-mode" => tmpfs(&mut mount).mode = Some(mode(&text()?)?),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if let Some(how) = recursive {
        recurse(&mut mount, &how)?;
    }
    checked(mount)
}

fn pair(field: &str) -> String {
    format!("invalid field '{field}' must be a key=value pair")
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut MountVolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountVolumeOptionsDriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut MountTmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn kind(text: &str) -> Result<MountType, String> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        _ => Err(format!("mount type {text} is none of bind, volume, tmpfs")),
    }
}

fn propagation(text: &str) -> Result<Propagation, String> {
    match text.to_ascii_lowercase().as_str() {
        "private" => Ok(Propagation::PRIVATE),
        "rprivate" => Ok(Propagation::RPRIVATE),
        "shared" => Ok(Propagation::SHARED),
        "rshared" => Ok(Propagation::RSHARED),
        "slave" => Ok(Propagation::SLAVE),
        "rslave" => Ok(Propagation::RSLAVE),
        _ => Err(format!(
            "propagation {text} is none of private, rprivate, shared, rshared, slave, rslave"
        )),
    }
}

/// How a bind mount takes the mounts below its source along.
fn recurse(mount: &mut Mount, how: &str) -> Result<(), String> {
    let read_only = mount.read_only == Some(true);
    match how {
        "enabled" => {}
        "disabled" => bind(mount).non_recursive = Some(true),
        "writable" if read_only => bind(mount).read_only_non_recursive = Some(true),
        "readonly" if read_only => bind(mount).read_only_force_recursive = Some(true),
        "writable" | "readonly" => {
            return Err(format!("bind-recursive={how} needs readonly as well"));
        }
        _ => {
            return Err(format!(
                "bind-recursive {how} is none of enabled, disabled, writable, readonly"
            ));
        }
    }
    Ok(())
}

/// A path that begins with a dot is meant from here, as Docker reads it.
fn absolute(source: &str) -> Result<String, String> {
    if source != "." && !source.starts_with("./") {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(source).map_err(|error| format!("{source}: {error}"))?;
    Ok(path.to_string_lossy().into_owned())
}

fn flag(key: &str, text: &str) -> Result<bool, String> {
    parse::yes_or_no(text).map_err(|_| format!("invalid value for {key}: {text}"))
}

fn mode(text: &str) -> Result<i64, String> {
    u32::from_str_radix(text, 8)
        .map(i64::from)
        .map_err(|_| format!("invalid value for tmpfs-mode: {text}"))
}

fn checked(mount: Mount) -> Result<Mount, String> {
    if mount.target.as_ref().is_none_or(String::is_empty) {
        return Err("target is required".to_owned());
    }
    let typ = mount.typ.unwrap_or(MountType::VOLUME);
    let foreign = [
        (mount.volume_options.is_some() && typ != MountType::VOLUME, "volume-*"),
        (mount.bind_options.is_some() && typ != MountType::BIND, "bind-*"),
        (mount.tmpfs_options.is_some() && typ != MountType::TMPFS, "tmpfs-*"),
    ];
    match foreign.into_iter().find(|(mixed, _)| *mixed) {
        Some((_, options)) => {
            Err(format!("cannot mix '{options}' options with mount type '{typ}'"))
        }
        None => Ok(mount),
    }
}

/// Fields between commas; one in double quotes may hold commas, and doubled quotes for a quote.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("there is always a last field");
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    if quoted { Err(format!("a quote has no end in {text}")) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::mount;

    fn shown(text: &str) -> String {
        match mount(text) {
            Ok(mount) => serde_json::to_value(mount).unwrap().to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_a_mount_or_refused(
            text: String,
            near in "((type|src|dst|ro|tmpfs-size|tmpfs-mode|volume-opt|bind-recursive|\"|é)=?(bind|tmpfs|volume|/a|1k|77|\"|o=a)?,?){0,5}",
            target in "/[ -~é]{0,12}",
        ) {
            drop((mount(&text), mount(&near)));
            let read = mount(&format!("type=tmpfs,\"target={}\"", target.replace('"', "\"\"")));
            proptest::prop_assert_eq!(read.unwrap().target, Some(target));
        }
    }

    #[test]
    fn every_key_of_every_type_is_understood() {
        let all = [
            "src=v,dst=/data",
            "type=volume,source=v,target=/data,volume-nocopy,volume-subpath=a/b,volume-label=k=v,volume-driver=local,volume-opt=type=nfs,\"volume-opt=o=addr=10.0.0.1,rw\"",
            "type=bind,source=/a,destination=/b,readonly,bind-propagation=rslave,bind-nonrecursive=true",
            "type=bind,source=/a,target=/b,ro=1,bind-recursive=readonly,bind-create-src",
            "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770,readonly=false",
        ];
        expect![[r#"
            {"Source":"v","Target":"/data","Type":"volume"}
            {"Source":"v","Target":"/data","Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"o":"addr=10.0.0.1,rw","type":"nfs"}},"Labels":{"k":"v"},"NoCopy":true,"Subpath":"a/b"}}
            {"BindOptions":{"NonRecursive":true,"Propagation":"rslave"},"ReadOnly":true,"Source":"/a","Target":"/b","Type":"bind"}
            {"BindOptions":{"CreateMountpoint":true,"ReadOnlyForceRecursive":true},"ReadOnly":true,"Source":"/a","Target":"/b","Type":"bind"}
            {"Target":"/t","TmpfsOptions":{"Mode":1016,"SizeBytes":1048576},"Type":"tmpfs"}"#]]
        .assert_eq(&all.map(shown).join("\n"));
    }

    #[test]
    fn mistakes_are_named() {
        let all = [
            "type=bind,source=/a",
            "type=npipe,target=/a",
            "target=/a,nonsense",
            "target=/a,nonsense=1",
            "target=/a,source",
            "target=/a,readonly=perhaps",
            "type=bind,source=/a,target=/a,volume-nocopy",
            "type=bind,source=/a,target=/a,bind-recursive=writable",
            "type=tmpfs,target=/a,tmpfs-mode=9",
            "\"target=/a",
        ];
        expect![[r#"
            error: target is required
            error: mount type npipe is none of bind, volume, tmpfs
            error: unexpected key 'nonsense' in 'nonsense'
            error: unexpected key 'nonsense' in 'nonsense=1'
            error: invalid field 'source' must be a key=value pair
            error: invalid value for readonly: perhaps
            error: cannot mix 'volume-*' options with mount type 'bind'
            error: bind-recursive=writable needs readonly as well
            error: invalid value for tmpfs-mode: 9
            error: a quote has no end in "target=/a"#]]
        .assert_eq(&all.map(shown).join("\n"));
    }
}

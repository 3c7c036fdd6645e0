//! The two images that need no registry.

use std::path::PathBuf;

use crate::image::ImageName;
use crate::runtime::{ContainerConfig, PORTS_ANNOTATION, RuntimeError};

/// What a built-in image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `kubesmith/web`: the web server of [`crate::web`].
    Web,
    /// `kubesmith/host`: a command from the host's own files.
    Host,
}

/// What to start, and with which environment before the pod's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// The image's own environment.
    pub envs: Vec<(String, String)>,
}

/// The built-in image of this name.
pub fn builtin(image: &str) -> Option<(Builtin, ImageName)> {
    let name = ImageName::parse(image)?;
    match name.repository.as_str() {
        "docker.io/kubesmith/web" => Some((Builtin::Web, name)),
        "docker.io/kubesmith/host" => Some((Builtin::Host, name)),
        _ => None,
    }
}

/// Why `image` can't be had, in words that help.
pub fn not_built_in(image: &str) -> RuntimeError {
    RuntimeError::Invalid(format!(
        "the process runtime pulls nothing from registries, so it can't run {image:?}: it runs \"kubesmith/web\" \
         (a web server, any tag) and \"kubesmith/host\" (a command from the host's own files)"
    ))
}

/// What a container of a built-in image runs. An image's `ENTRYPOINT` gives way to `command`, and its
/// `CMD` to `args`, as in any runtime.
///
/// # Errors
/// If the image isn't built in, or there is nothing to run.
pub fn program(config: &ContainerConfig, web_program: &[String]) -> Result<Program, RuntimeError> {
    let (image, name) = builtin(&config.image).ok_or_else(|| not_built_in(&config.image))?;
    let entry_point = match (image, config.command.is_empty()) {
        (_, false) => config.command.clone(),
        (Builtin::Web, true) => web_program.to_vec(),
        (Builtin::Host, true) => Vec::new(),
    };
    if entry_point.is_empty() {
        return Err(RuntimeError::Invalid(
            "no command specified: the image kubesmith/host runs a command from the host's own files, so the \
             container's command must name one"
                .to_owned(),
        ));
    }
    let mut envs = Vec::new();
    if image == Builtin::Web {
        envs.push(("VERSION".to_owned(), name.tag));
        envs.extend(first_port(config).map(|port| ("PORT".to_owned(), port.to_string())));
    }
    Ok(Program { argv: [entry_point, config.args.clone()].concat(), envs })
}

fn first_port(config: &ContainerConfig) -> Option<u64> {
    let ports: serde_json::Value = serde_json::from_str(config.annotations.get(PORTS_ANNOTATION)?).ok()?;
    ports.get(0)?.get("containerPort")?.as_u64()
}

/// An image's size in bytes: that of the program it stands for.
pub fn size(image: Builtin, web_program: &[String]) -> u64 {
    let program = web_program.first().filter(|_| image == Builtin::Web).map(PathBuf::from);
    program.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(image: &str, command: &[&str], args: &[&str]) -> ContainerConfig {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        ContainerConfig {
            image: image.to_owned(),
            command: strings(command),
            args: strings(args),
            annotations: [(PORTS_ANNOTATION.to_owned(), r#"[{"containerPort":9090}]"#.to_owned())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn command_replaces_the_entry_point_and_args_follow() {
        let web = ["/bin/kubesmith".to_owned(), "web".to_owned()];
        let run = |config| program(&config, &web).map(|program| program.argv.join(" ")).map_err(|e| e.to_string());
        assert_eq!(run(config("kubesmith/web:v2", &[], &["--port", "1"])).unwrap(), "/bin/kubesmith web --port 1");
        assert_eq!(run(config("kubesmith/web", &["sh"], &["-c", "x"])).unwrap(), "sh -c x");
        assert_eq!(run(config("docker.io/kubesmith/host:1", &["sleep"], &["9"])).unwrap(), "sleep 9");
        assert!(run(config("kubesmith/host", &[], &["9"])).unwrap_err().contains("no command specified"));
        assert!(run(config("nginx", &[], &[])).unwrap_err().contains("kubesmith/web"));
    }

    #[test]
    fn the_web_image_says_its_tag_and_its_first_port() {
        let envs = program(&config("kubesmith/web:v2", &[], &[]), &["w".to_owned()]).unwrap().envs;
        assert_eq!(envs, [("VERSION".to_owned(), "v2".to_owned()), ("PORT".to_owned(), "9090".to_owned())]);
    }
}

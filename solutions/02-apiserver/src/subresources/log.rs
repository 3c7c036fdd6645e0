//! Logs: the kubelet has them, and the server passes them on as they come.
//!
//! Upstream: `pkg/registry/core/pod/rest/log.go` and `pkg/registry/core/pod/strategy.go`, `LogLocation`.

use crate::answer::Answer;
use crate::pipeline::Call;
use crate::status::Failure;
use crate::{Object, update};

/// GET of a container's log.
pub async fn get(call: &Call) -> Result<Answer, Failure> {
    let Some(pod) = update::current(call).await? else { return Err(call.not_found()) };
    let container = container(&pod.object, call.query.non_empty("container"), &call.info.name)?;
    let node = pod.object["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        // Nothing runs, so nothing has been said.
        return Ok(Answer::empty(204));
    }
    call.server.kubelets.logs(call, node, &container).await
}

/// The container that is meant: the one that is named, or the only one.
fn container(pod: &Object, named: Option<&str>, name: &str) -> Result<String, Failure> {
    let names = |field: &str| -> Vec<&str> {
        pod["spec"][field].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect()
    };
    let (own, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    match named {
        Some(wanted) if own.iter().chain(&init).chain(&ephemeral).any(|one| *one == wanted) => Ok(wanted.to_owned()),
        Some(wanted) => Err(Failure::bad_request(format!("container {wanted} is not valid for pod {name}"))),
        None if own.len() == 1 && init.is_empty() && ephemeral.is_empty() => Ok(own[0].to_owned()),
        None => Err(Failure::bad_request(choose(name, &own, &init))),
    }
}

fn choose(name: &str, own: &[&str], init: &[&str]) -> String {
    let own = own.join(" ");
    let mut sentence = format!("a container name must be specified for pod {name}, choose one of: [{own}]");
    if !init.is_empty() {
        sentence += &format!(" or one of the init containers: [{}]", init.join(" "));
    }
    sentence
}

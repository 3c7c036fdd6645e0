//! Carries out a plan's requests, and says what there is to say about them.

use futures::future::join_all;
use kube::Client;
use kubesmith_common::events::Recorder;
use serde_json::Value;

use crate::manager::is_done;
use crate::request::{Failure, Outcome, Plan, Request, Said};

/// Says what `plan` says, sends its batches one after the other, and returns what came of each request.
pub async fn carry_out(client: &Client, recorder: &Recorder, plan: Plan) -> Vec<(Request, Outcome)> {
    plan.said.into_iter().for_each(|said| say(recorder, said, ""));
    let (mut done, mut failed) = (Vec::new(), false);
    for batch in plan.batches {
        if failed && !plan.despite_failures {
            done.extend(batch.into_iter().map(|request| (request, Outcome::Skipped)));
            continue;
        }
        let outcomes = join_all(batch.iter().map(|request| send(client, request))).await;
        for (request, outcome) in batch.into_iter().zip(outcomes) {
            failed |= outcome.failure().is_some();
            if let (Some(said), Outcome::Done(answer)) = (&request.said, &outcome) {
                let name = answer["metadata"]["name"].as_str().unwrap_or(&request.key.name);
                say(recorder, said.clone(), name);
            }
            done.push((request, outcome));
        }
    }
    done
}

fn say(recorder: &Recorder, said: Said, name: &str) {
    recorder.record_about(said.about, said.kind, &said.reason, said.message.replace("{name}", name));
}

/// Sends one request.
pub async fn send(client: &Client, request: &Request) -> Outcome {
    let http = match request.to_http() {
        Ok(http) => http,
        Err(error) => return Outcome::Failed(no_answer(&error)),
    };
    match client.request::<Value>(http).await {
        Ok(answer) => Outcome::Done(answer),
        Err(kube::Error::Api(status)) if is_done(request, status.code) => Outcome::Done(Value::Null),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            Outcome::Failed(Failure {
                code: status.code,
                causes: causes.map(|cause| cause.reason.clone()).collect(),
                reason: status.reason.clone(),
                message: status.message.clone(),
            })
        }
        Err(error) => Outcome::Failed(no_answer(&error)),
    }
}

fn no_answer(error: &dyn std::fmt::Display) -> Failure {
    Failure { code: 0, reason: String::new(), message: error.to_string(), causes: Vec::new() }
}

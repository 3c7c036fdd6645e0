//! A kubelet by itself: `kubelet --kubeconfig FILE --hostname-override node-1 --root-dir DIR …`.
//!
//! With `web` as its only argument it is the program of the image `kubesmith/web`.

use clap::Parser;
use kubesmith_common::Lifecycle;
use kubesmith_common::lifecycle::until_signalled;
use kubesmith_kubelet::Options;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some("web") {
        return kubesmith_kubelet::web::main();
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kubelet: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        let shutdown = until_signalled().map_err(|error| error.to_string())?;
        let lifecycle = Lifecycle::new(shutdown, |line| println!("{line}"));
        kubesmith_kubelet::run(arguments.options, lifecycle).await.map_err(|error| error.to_string())
    });
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kubelet: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

//! The program of the image `kubesmith/web`, by itself: `POD_IP=127.0.0.1 PORT=8080 web`.

fn main() -> std::process::ExitCode {
    kubesmith_kubelet::web::main()
}

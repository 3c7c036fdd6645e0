//! Binding a port, and saying who has it when it's taken.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};

/// Listens on `address`.
///
/// # Errors
/// If the port is taken: the error names the process that has it, where that can be seen.
pub fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => {
            listener.set_nonblocking(true)?;
            Ok(listener)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = holder(address).unwrap_or_else(|| "another process".to_owned());
            bail!("port {} is in use by {holder}: stop it, or take another port with {flag}", address.port());
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// The process that listens on `address`, as "NAME (process PID)". Linux only; `None` elsewhere, or
/// if the process is somebody else's.
fn holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        // /proc/self and /proc/thread-self are processes too, under names that say nothing to people.
        if process.file_name().to_string_lossy().parse::<u32>().is_err() {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()))
        {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(format!("{} (process {})", name.trim(), process.file_name().to_string_lossy()));
        }
    }
    None
}

/// The inode of the socket that listens on `address` (or on every address, at its port) in a table
/// such as `/proc/net/tcp`.
fn listening_inode(table: &str, address: SocketAddr) -> Option<String> {
    const LISTEN: &str = "0A";
    let port = format!("{:04X}", address.port());
    let own = match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from(ip).swap_bytes()),
        IpAddr::V6(_) => return None,
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, listening_port) = fields.get(1)?.split_once(':')?;
        let matches = listening_port == port && (ip == own || ip.bytes().all(|digit| digit == b'0'));
        (matches && *fields.get(3)? == LISTEN).then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusal = listen(taken.local_addr().unwrap(), "--port").unwrap_err().to_string();
        assert!(refusal.contains(&format!("(process {})", std::process::id())), "{refusal}");
        assert!(refusal.contains("--port"), "{refusal}");
    }
}

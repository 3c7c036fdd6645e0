//! Which image a name means.
//!
//! `kubesmith/web`, `docker.io/kubesmith/web` and `kubesmith/web:latest` are one image: a name without a
//! registry is Docker Hub's, one without a tag is `latest`. Upstream: `github.com/distribution/reference`,
//! as `k8s.io/kubernetes/pkg/util/parsers` uses it.

/// An image's name, taken apart and completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// Registry and path, completed: `docker.io/library/nginx`.
    pub repository: String,
    /// The tag, `latest` if none is named. A digest counts as none.
    pub tag: String,
}

impl ImageName {
    /// Takes `image` apart; `None` if it can't be an image's name.
    pub fn parse(image: &str) -> Option<Self> {
        let name = image.split_once('@').map_or(image, |(name, _digest)| name);
        // A colon before the last slash belongs to the registry's port.
        let tag_at = name.rfind(':').filter(|at| !name[*at..].contains('/'));
        let (path, tag) = tag_at.map_or((name, "latest"), |at| (&name[..at], &name[at + 1..]));
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
        let legal_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if path.is_empty() || tag.is_empty() || !tag.chars().all(legal_tag) {
            return None;
        }
        let (first, rest) = path.split_once('/').unwrap_or(("", path));
        let is_registry = first.contains('.') || first.contains(':') || first == "localhost";
        let repository = match (is_registry, first) {
            (true, _) => path.to_owned(),
            (false, "") => format!("docker.io/library/{path}"),
            (false, _) => format!("docker.io/{first}/{rest}"),
        };
        repository.chars().all(legal).then(|| Self { repository, tag: tag.to_owned() })
    }

    /// The full name: repository and tag.
    pub fn full(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(image: &str) -> Option<String> {
        ImageName::parse(image).map(|name| name.full())
    }

    #[test]
    fn names_are_completed() {
        for image in ["kubesmith/web", "docker.io/kubesmith/web", "kubesmith/web:latest"] {
            assert_eq!(full(image).as_deref(), Some("docker.io/kubesmith/web:latest"));
        }
        assert_eq!(full("nginx").as_deref(), Some("docker.io/library/nginx:latest"));
        assert_eq!(full("localhost:5000/a/b:v2").as_deref(), Some("localhost:5000/a/b:v2"));
        assert_eq!(full("localhost:5000/a").as_deref(), Some("localhost:5000/a:latest"));
        assert_eq!(full("a.example/b@sha256:00").as_deref(), Some("a.example/b:latest"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for image in ["", ":v1", "Nginx", "a b", "a:", "a:b c"] {
            assert_eq!(full(image), None, "{image}");
        }
    }
}

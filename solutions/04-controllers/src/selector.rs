//! Label selectors, as Deployments and ReplicaSets have them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Labels, as metadata has them.
pub type Labels = BTreeMap<String, String>;

/// Whether `labels` match `selector`: every one of `matchLabels`, and every expression.
///
/// An empty selector matches everything. An expression whose operator nobody knows matches nothing:
/// better to manage too few objects than somebody else's.
/// Upstream: `metav1.LabelSelectorAsSelector`.
pub fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key));
    let pairs = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    pairs.into_iter().all(|(key, wanted)| value(key) == Some(wanted))
        && expressions.into_iter().all(|expression| expression_holds(expression, value(&expression.key)))
}

fn expression_holds(expression: &LabelSelectorRequirement, value: Option<&String>) -> bool {
    let listed = |value: &String| expression.values.iter().flatten().any(|listed| listed == value);
    match expression.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Whether the selector has no requirement at all, and so matches everything.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            }]),
            ..Default::default()
        }
    }

    #[test]
    fn every_operator() {
        let web = labels(&[("app", "web")]);
        let cases = [
            ("app", "In", &["web", "db"][..], true),
            ("app", "In", &["db"], false),
            ("app", "NotIn", &["db"], true),
            ("tier", "NotIn", &["db"], true),
            ("app", "Exists", &[], true),
            ("tier", "Exists", &[], false),
            ("tier", "DoesNotExist", &[], true),
            ("app", "DoesNotExist", &[], false),
            ("app", "Sounds like", &["web"], false),
        ];
        for (key, operator, values, expected) in cases {
            let selector = expression(key, operator, values);
            assert_eq!(matches(&selector, Some(&web)), expected, "{key} {operator} {values:?}");
        }
    }

    #[test]
    fn all_requirements_hold_together() {
        let selector =
            LabelSelector { match_labels: Some(labels(&[("app", "web")])), ..expression("tier", "Exists", &[]) };
        assert!(matches(&selector, Some(&labels(&[("app", "web"), ("tier", "front")]))));
        assert!(!matches(&selector, Some(&labels(&[("app", "web")]))));
        assert!(!matches(&selector, None));
        assert!(matches(&LabelSelector::default(), None));
        assert!(is_empty(&LabelSelector::default()) && !is_empty(&selector));
    }
}

//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;

/// A page being written, family by family.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

/// What a family's values mean.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The content type of a finished page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Page {
    /// Begins a family; its samples follow. Counters' names end in `_total`.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: self, name }
    }

    /// A family of one value without labels.
    pub(crate) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).value(&[], value);
    }

    /// The page.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A family being written.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    /// One sample.
    pub(crate) fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.page.text;
        text.push_str(self.name);
        for (index, (name, said)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(text, "{open}{name}=\"{}\"", escaped(said));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.single("a_total", Kind::Counter, "How many.", 3.0);
        let mut drops = page.family("b", Kind::Gauge, "By name.");
        drops.value(&[("node", "eu"), ("why", "a \"b\"\n\\")], 0.5);
        let wanted = "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\n\
                      # HELP b By name.\n# TYPE b gauge\nb{node=\"eu\",why=\"a \\\"b\\\"\\n\\\\\"} 0.5\n";
        assert_eq!(page.finish(), wanted);
    }
}

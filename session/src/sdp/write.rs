//! The writer.

use super::Description;

pub(super) fn description(description: &Description) -> String {
    let _ = description;
    String::new()
}

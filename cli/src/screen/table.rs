//! Tables as Docker's: columns three spaces apart and at least ten wide, no lines, nothing wrapped.
//! Only the look; the columns are the commands'.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

/// Spaces between columns.
const GAP: u16 = 3;
/// Narrowest column, its gap included.
const NARROWEST: u16 = 10;

/// Renders headers and rows, each line ended and without spaces at its end.
pub(super) fn render<'a>(headers: &[&str], rows: impl Iterator<Item = &'a [String]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(NARROWEST)));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The text with control characters spelled out: names and errors come from containers, and a terminal obeys them.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn tables_are_aligned_as_docker_aligns_them() {
        let rows = [
            vec!["5uwxsmfggl3x".to_owned(), "web.1".to_owned(), "ok".to_owned()],
            vec!["uaaa3nolucz7".to_owned(), " \\_ web.1".to_owned(), "bad\u{1b}[31m".to_owned()],
        ];
        expect![[r#"
            ID             NAME        E
            5uwxsmfggl3x   web.1       ok
            uaaa3nolucz7    \_ web.1   bad\u{1b}[31m
        "#]]
        .assert_eq(&render(&["ID", "NAME", "E"], rows.iter().map(|row| &row[..])));
    }
}

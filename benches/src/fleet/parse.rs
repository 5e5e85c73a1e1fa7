//! From a scenario's text to the scenario, with every mistake that is in it.

use super::fields::{Fields, Mistake, Notes};
use super::read;
use super::scenario::{Kind, Scenario};
use super::set::set;

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut notes = Notes::new(text);
        let mut fields = Fields::parse(text, &mut notes);
        if !notes.mistakes.is_empty() {
            return Err(notes.sorted());
        }
        let name = fields.take("name", &mut notes).unwrap_or_else(|| "unnamed".to_owned());
        let about = fields.take("about", &mut notes).unwrap_or_default();
        let plain = fields.table("plain", &mut notes);
        let kind = match plain {
            Some(plain) => Kind::Plain(Box::new(read::plain(plain, &mut notes))),
            None => Kind::Fleet(Box::new(read::fleet(&mut fields, &mut notes))),
        };
        let thresholds = read::thresholds(&mut fields, &kind.names(None), &mut notes);
        fields.end(&mut notes);
        if notes.mistakes.is_empty() {
            Ok(Self { name, about, text: text.to_owned(), thresholds, kind })
        } else {
            Err(notes.sorted())
        }
    }

    /// Reads a scenario in which these keys have other values: `activities.scan.share=0`.
    ///
    /// # Errors
    /// Everything that is wrong with the text, or else with the values.
    pub fn parse_with(text: &str, values: &[String]) -> Result<Self, Vec<Mistake>> {
        let scenario = Self::parse(text)?;
        if values.is_empty() {
            return Ok(scenario);
        }
        let mistake = |what| vec![Mistake { place: None, what }];
        let mut table: toml::Table = toml::from_str(text).map_err(|error| mistake(error.message().to_owned()))?;
        for value in values {
            set(&mut table, value).map_err(mistake)?;
        }
        let text = toml::to_string(&table).map_err(|error| mistake(error.to_string()))?;
        Self::parse(&text).map_err(|mistakes| {
            let advice = |what: String| Mistake { place: None, what: format!("with the values that were set: {what}") };
            mistakes.into_iter().map(|mistake| advice(mistake.what)).collect()
        })
    }
}

//! From the events of the parser to trees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use saphyr_parser_bw::{Event, Parser, ScalarStyle, Span, Tag};

use super::inner::Cursor;
use super::{
    ALIASES_MAX, Content, DEPTH_MAX, DOCUMENTS_MAX, Document, Entry, Fault, NODES_MAX, Node, Spot,
    Style, TEXT_BYTES_MAX,
};

/// Key of a mapping whose value is merged into it.
const MERGE_KEY: &str = "<<";

/// Reads all documents of a text. A document with a syntax error, or beyond a limit, is left out and told; so are
/// the second values of a key. Documents without a value are none.
#[must_use]
pub fn read(text: &str) -> (Vec<Document>, Vec<Fault>) {
    let mut documents = Vec::new();
    let mut reading =
        Reading { cursor: Cursor::new(text), faults: Vec::new(), nodes: 0, aliases: 0 };
    if text.len() > TEXT_BYTES_MAX {
        let spot = Spot { line: 1, column: 1 };
        reading.fault(spot, "too-large", format!("the text is longer than {TEXT_BYTES_MAX} bytes"));
        return (documents, reading.faults);
    }
    for chunk in chunks(text) {
        if documents.len() >= DOCUMENTS_MAX {
            let spot = reading.cursor.spot(chunk.start);
            let message = format!("there are more than {DOCUMENTS_MAX} documents");
            reading.fault(spot, "too-large", message);
            break;
        }
        if reading.chunk(text, chunk, &mut documents).is_err() && reading.nodes > NODES_MAX {
            break;
        }
    }
    (documents, reading.faults)
}

/// The stretches of the text that begin with `---`, and what is before the first one.
fn chunks(text: &str) -> Vec<Range<usize>> {
    let begin = text.strip_prefix('\u{feff}').map_or(0, |rest| text.len() - rest.len());
    let mut chunks = Vec::new();
    let (mut start, mut at) = (begin, begin);
    for line in text[begin..].split_inclusive('\n') {
        let marks = line.strip_prefix("---");
        if at > start
            && marks
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            chunks.push(start..at);
            start = at;
        }
        at += line.len();
    }
    chunks.push(start..at);
    // Directives stand before the `---` of their document.
    chunks.retain(|chunk| {
        text[chunk.clone()].lines().any(|line| {
            let content = line.trim();
            !content.is_empty() && !content.starts_with('#') && !line.starts_with('%')
        })
    });
    chunks
}

struct Reading<'a> {
    cursor: Cursor<'a>,
    faults: Vec<Fault>,
    nodes: usize,
    aliases: usize,
}

/// A document cannot be read; the fault has been told.
struct Refused;

/// A list or mapping that has not ended.
struct Frame {
    anchor: usize,
    spot: Spot,
    start: usize,
    collected: Collected,
}

enum Collected {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: BTreeMap<String, Spot>, key: Option<Key>, merged: Vec<Entry> },
}

struct Key {
    text: String,
    spot: Spot,
    span: Range<usize>,
    plain: bool,
}

impl Reading<'_> {
    fn fault(&mut self, spot: Spot, code: &'static str, message: String) {
        self.faults.push(Fault { spot, code, message });
    }

    fn refuse<T>(&mut self, at: usize, code: &'static str, message: String) -> Result<T, Refused> {
        let spot = self.cursor.spot(at);
        self.fault(spot, code, message);
        Err(Refused)
    }

    fn chunk(
        &mut self,
        text: &str,
        chunk: Range<usize>,
        documents: &mut Vec<Document>,
    ) -> Result<(), Refused> {
        let base = chunk.start;
        let part = &text[chunk.clone()];
        let mut parser = Parser::new_from_str(part);
        let mut stack: Vec<Frame> = Vec::new();
        let mut anchors: BTreeMap<usize, Node> = BTreeMap::new();
        let (mut start, mut faults) = (base, self.faults.len());
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok((event, span)) => (event, bytes_of(&span, base, part)),
                Err(error) => {
                    let at = base + bounded(error.marker().index(), part);
                    return self.refuse(at, "yaml-syntax", error.info().to_owned());
                }
            };
            let finished = match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => None,
                Event::StreamEnd => break,
                Event::DocumentEnd => {
                    anchors.clear();
                    None
                }
                Event::Alias(id) => {
                    self.aliases += 1;
                    let Some(node) = anchors.get(&id).cloned() else {
                        return self.refuse(
                            span.start,
                            "yaml-syntax",
                            "an alias refers to nothing".to_owned(),
                        );
                    };
                    if self.aliases > ALIASES_MAX {
                        let message = format!("there are more than {ALIASES_MAX} aliases");
                        return self.refuse(span.start, "too-large", message);
                    }
                    self.count(count(&node), span.start)?;
                    Some((node, 0))
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.count(1, span.start)?;
                    let style = style_of(style);
                    let span = span.start..quote_end(text, &span, style);
                    let style = self.tagged(tag.as_deref(), style, span.start)?;
                    let spot = self.cursor.spot(span.start);
                    let content = Content::Scalar { text: value.into_owned(), style };
                    Some((Node { spot, span: span.clone(), content }, anchor))
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tagged(tag.as_deref(), Style::Plain, span.start)?;
                    self.open(&mut stack, anchor, &span, Collected::List(Vec::new()))?;
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    self.tagged(tag.as_deref(), Style::Plain, span.start)?;
                    let keys = BTreeMap::new();
                    let (entries, merged) = (Vec::new(), Vec::new());
                    let collected = Collected::Map { entries, keys, key: None, merged };
                    self.open(&mut stack, anchor, &span, collected)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    stack.pop().map(|frame| close(frame, &span))
                }
            };
            let Some((node, anchor)) = finished else { continue };
            if anchor != 0 {
                self.count(count(&node), span.start)?;
                anchors.insert(anchor, node.clone());
            }
            match stack.last_mut() {
                Some(frame) => self.put(frame, node)?,
                None => {
                    // A comment alone is a document without a value.
                    if !node.is_null() {
                        let faulty = self.faults.len() > faults;
                        documents.push(Document { root: node, span: start..chunk.end, faulty });
                    }
                    (start, faults) = (span.end, self.faults.len());
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, n: usize, at: usize) -> Result<(), Refused> {
        self.nodes = self.nodes.saturating_add(n);
        if self.nodes > NODES_MAX {
            return self.refuse(at, "too-large", format!("there are more than {NODES_MAX} values"));
        }
        Ok(())
    }

    /// What a tag makes of a scalar: those of JSON's types are known, others are refused.
    fn tagged(&mut self, tag: Option<&Tag>, style: Style, at: usize) -> Result<Style, Refused> {
        let Some(tag) = tag else { return Ok(style) };
        if tag.is_yaml_core_schema() {
            match tag.suffix.as_str() {
                "str" if style == Style::Plain => return Ok(Style::Double),
                "str" | "int" | "float" | "bool" | "null" | "seq" | "map" => return Ok(style),
                _ => {}
            }
        }
        self.refuse(at, "yaml-tag", format!("the tag {tag} has no meaning here"))
    }

    fn open(
        &mut self,
        stack: &mut Vec<Frame>,
        anchor: usize,
        span: &Range<usize>,
        collected: Collected,
    ) -> Result<(), Refused> {
        self.count(1, span.start)?;
        if stack.len() >= DEPTH_MAX {
            let message = format!("values are nested deeper than {DEPTH_MAX}");
            return self.refuse(span.start, "too-large", message);
        }
        let spot = self.cursor.spot(span.start);
        stack.push(Frame { anchor, spot, start: span.start, collected });
        Ok(())
    }

    /// Puts a value, or a key, into what is open.
    fn put(&mut self, frame: &mut Frame, node: Node) -> Result<(), Refused> {
        let (entries, keys, key, merged) = match &mut frame.collected {
            Collected::List(items) => {
                items.push(node);
                return Ok(());
            }
            Collected::Map { entries, keys, key, merged } => (entries, keys, key, merged),
        };
        let Some(Key { text, spot, span, plain }) = key.take() else {
            let Content::Scalar { text, style } = node.content else {
                return self.refuse(
                    node.span.start,
                    "yaml-syntax",
                    "a key must be a text".to_owned(),
                );
            };
            let plain = style == Style::Plain;
            *key = Some(Key { text, spot: node.spot, span: node.span, plain });
            return Ok(());
        };
        if plain && text == MERGE_KEY {
            match node.content {
                Content::Map(more) => merged.extend(more),
                Content::List(maps)
                    if maps.iter().all(|map| matches!(map.content, Content::Map(_))) =>
                {
                    for map in maps {
                        if let Content::Map(more) = map.content {
                            merged.extend(more);
                        }
                    }
                }
                _ => {
                    let message = "only mappings can be merged into a mapping".to_owned();
                    self.fault(spot, "yaml-syntax", message);
                }
            }
            return Ok(());
        }
        if let Some(first) = keys.get(&text) {
            let message = format!("the key {text:?} is there already, in line {}", first.line);
            self.fault(spot, "duplicate-key", message);
            return Ok(());
        }
        keys.insert(text.clone(), spot);
        let value = if node.is_null() {
            // Nothing stands nowhere: it is told where its key is.
            Node { spot, ..node }
        } else {
            node
        };
        entries.push(Entry { key: text, spot, span, value });
        Ok(())
    }
}

/// The value that a frame has become, and its anchor.
fn close(frame: Frame, span: &Range<usize>) -> (Node, usize) {
    let Frame { anchor, spot, start, collected } = frame;
    let (content, last) = match collected {
        Collected::List(items) => {
            let last = items.last().map(|item| item.span.end);
            (Content::List(items), last)
        }
        Collected::Map { mut entries, merged, .. } => {
            let last = entries.last().map(|entry| entry.value.span.end.max(entry.span.end));
            let mut known: BTreeSet<String> =
                entries.iter().map(|entry| entry.key.clone()).collect();
            entries.extend(merged.into_iter().filter(|entry| known.insert(entry.key.clone())));
            (Content::Map(entries), last)
        }
    };
    // The end of a mapping or list in block style is told where the next token is.
    let end = if span.is_empty() { last.unwrap_or(start) } else { span.end };
    (Node { spot, span: start..end.max(start), content }, anchor)
}

fn count(node: &Node) -> usize {
    match &node.content {
        Content::Scalar { .. } => 1,
        Content::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Content::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.value)).sum::<usize>(),
    }
}

const fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

fn bytes_of(span: &Span, base: usize, part: &str) -> Range<usize> {
    let start = bounded(span.start.index(), part);
    let end = bounded(span.end.index(), part).max(start);
    base + start..base + end
}

/// Where a scalar ends: the parser counts white space and comments behind a quote in.
fn quote_end(text: &str, span: &Range<usize>, style: Style) -> usize {
    let quote = match style {
        Style::Single => b'\'',
        Style::Double => b'"',
        Style::Plain | Style::Literal | Style::Folded => return span.end,
    };
    let bytes = &text.as_bytes()[..span.end];
    let mut at = span.start + 1;
    while let Some(byte) = bytes.get(at) {
        let doubled = style == Style::Single && bytes.get(at + 1) == Some(&quote);
        match byte {
            b'\\' if style == Style::Double => at += 1,
            byte if *byte == quote && doubled => at += 1,
            byte if *byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    span.end
}

/// A byte of the text, at the beginning of a character.
fn bounded(index: usize, part: &str) -> usize {
    let mut index = index.min(part.len());
    while !part.is_char_boundary(index) {
        index -= 1;
    }
    index
}

//! What OpenAPI says of addresses that have something in common.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, RefOr, Response,
    ResponseBuilder, Type,
};

/// The name of the token among the security schemes: what changes something says `security(("token" = []))`.
const TOKEN: &str = "token";

/// What a long answer may be instead.
pub(super) struct Questioned;

impl IntoResponses for Questioned {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        sentences(&[
            ("400", "Every mistake in the parameters, a sentence each."),
            ("500", "The answer could not be made."),
            ("503", "Others are still reading long answers: try again."),
        ])
    }
}

/// What a change may be answered with instead.
pub(super) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = Questioned::responses();
        all.extend(sentences(&[
            ("401", "The token is missing, or another one."),
            ("403", "There is no token: `[admin] token_file` names none."),
        ]));
        all
    }
}

/// Answers that are sentences for a reader.
pub(super) fn sentences(all: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    all.iter().map(|(status, what)| ((*status).to_owned(), RefOr::T(sentence(what)))).collect()
}

/// Adds what every address may answer.
pub(super) fn complete(mut openapi: OpenApi) -> OpenApi {
    let common = sentences(&[
        ("401", "From another machine: the token is missing, or another one."),
        ("403", "A page from elsewhere has asked; or from another machine, and there is no token."),
        ("413", "The body has more than 64 KiB."),
        ("414", "Path and query have more than 8 KiB."),
        ("421", "The host is none of this listener's: `[admin] host_names`."),
        ("503", "Others are served first: try again."),
    ]);
    for path in openapi.paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post, &mut path.put, &mut path.delete].into_iter().flatten() {
            for (status, response) in &common {
                operation.responses.responses.entry(status.clone()).or_insert_with(|| response.clone());
            }
        }
    }
    openapi
}

fn sentence(what: &str) -> Response {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let content = ContentBuilder::new().schema(Some(text)).build();
    ResponseBuilder::new().description(what).content("text/plain", content).build()
}

/// The description before its addresses are added.
pub(super) fn begun() -> OpenApi {
    let info = InfoBuilder::new()
        .title("rolegate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The admin listener: what rolegate knows, and what can be changed while it serves."));
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token of `[admin] token_file`."))
        .build();
    let components = ComponentsBuilder::new().security_scheme(TOKEN, SecurityScheme::Http(token)).build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

package org.elasticsearch.xpack.standin;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Setting;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.common.xcontent.XContentHelper;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.plugins.interceptor.RestServerActionPlugin;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestInterceptor;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;

/**
 * What the machine uses of x-pack and Maven does not have: names and passwords, and the two pages that clients ask for
 * first. It knows who asks and not what they may: roles are taken and forgotten, as are users when the node ends.
 */
public final class Security extends Plugin implements RestServerActionPlugin {
    private static final String ROOT =
        "{\"name\":\"machine\",\"cluster_name\":\"fly-nomad\",\"tagline\":\"a stand-in, of Elasticsearch's core\","
            + "\"version\":{\"number\":\"8.19.21\",\"build_flavor\":\"default\",\"build_type\":\"docker\","
            + "\"build_snapshot\":false,\"lucene_version\":\"9.12.2\",\"minimum_wire_compatibility_version\":\"7.17.0\","
            + "\"minimum_index_compatibility_version\":\"7.0.0\"}}";
    private static final String LICENSE = "{\"license\":{\"status\":\"active\",\"type\":\"basic\",\"uid\":\"stand-in\"}}";

    private final Map<String, String> passwords = new ConcurrentHashMap<>();

    public Security() throws Exception {
        var keystore = Path.of(System.getProperty("es.path.conf"), "bootstrap.password");
        passwords.put("elastic", Files.readString(keystore));
    }

    @Override
    public List<Setting<?>> getSettings() {
        return List.of(
            accepted("xpack.security.enabled"), accepted("xpack.security.enrollment.enabled"),
            accepted("xpack.security.http.ssl.enabled"), accepted("xpack.security.transport.ssl.enabled"),
            accepted("xpack.ml.enabled"), accepted("ingest.geoip.downloader.enabled"));
    }

    private static Setting<Boolean> accepted(String name) {
        return Setting.boolSetting(name, true, Setting.Property.NodeScope);
    }

    @Override
    public RestInterceptor getRestHandlerInterceptor(ThreadContext context) {
        return (request, channel, handler, listener) -> {
            if (user(request) != null) {
                listener.onResponse(true);
                return;
            }
            var refusal = new RestResponse(
                RestStatus.UNAUTHORIZED, "application/json", "{\"error\":\"no user by that password\",\"status\":401}");
            refusal.addHeader("WWW-Authenticate", "Basic realm=\"security\"");
            channel.sendResponse(refusal);
            listener.onResponse(false);
        };
    }

    /** Who asks, or null. */
    private String user(RestRequest request) {
        var header = request.header("Authorization");
        if (header == null || header.startsWith("Basic ") == false) {
            return null;
        }
        var parts = new String(Base64.getDecoder().decode(header.substring(6)), StandardCharsets.UTF_8).split(":", 2);
        return parts.length == 2 && parts[1].equals(passwords.get(parts[0])) ? parts[0] : null;
    }

    @Override
    public Collection<RestHandler> getRestHandlers(
        Settings settings, NamedWriteableRegistry registry, RestController controller, ClusterSettings clusterSettings,
        IndexScopedSettings indexSettings, SettingsFilter filter, IndexNameExpressionResolver resolver,
        Supplier<DiscoveryNodes> nodes, Predicate<NodeFeature> features) {
        return List.of(
            page("GET", "/", request -> ROOT),
            page("GET", "/_license", request -> LICENSE),
            page("GET", "/_security/_authenticate", request -> "{\"username\":\"" + user(request) + "\"}"),
            page("PUT", "/_security/role/{name}", request -> "{\"role\":{\"created\":true}}"),
            page("PUT", "/_security/user/{name}", this::setPassword),
            page("POST", "/_security/user/{name}/_password", this::setPassword));
    }

    private String setPassword(RestRequest request) {
        var body = XContentHelper.convertToMap(request.requiredContent(), false, request.getXContentType()).v2();
        passwords.put(request.param("name"), body.get("password").toString());
        return "{}";
    }

    private interface Page {
        String answer(RestRequest request);
    }

    private static RestHandler page(String method, String path, Page page) {
        return new BaseRestHandler() {
            @Override
            public String getName() {
                return "stand-in " + method + " " + path;
            }

            @Override
            public List<Route> routes() {
                return List.of(new Route(RestRequest.Method.valueOf(method), path));
            }

            @Override
            protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
                // A parameter and a body that nobody reads are errors.
                request.param("name");
                request.param("human");
                if (request.hasContent()) {
                    request.requiredContent();
                }
                var answer = page.answer(request);
                return channel -> channel.sendResponse(new RestResponse(RestStatus.OK, "application/json", answer));
            }
        };
    }
}

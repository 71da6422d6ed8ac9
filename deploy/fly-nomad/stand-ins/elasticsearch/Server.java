package org.elasticsearch.xpack.standin;

import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** Starts a node, without the distribution's launcher and its entitlements, which need files that Maven does not have. */
public final class Server {
    public static void main(String[] arguments) throws Exception {
        LogConfigurator.registerErrorListener();
        var home = Settings.builder().put("path.home", System.getProperty("es.path.home")).build();
        var environment = InternalSettingsPreparer.prepareEnvironment(
            home, Map.of(), Path.of(System.getProperty("es.path.conf")), () -> "stand-in");
        LogConfigurator.setNodeName("stand-in");
        LogConfigurator.configure(environment, true);
        var plugins = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir()),
            Map.of(),
            false);
        var node = new Node(environment, plugins);
        var stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.prepareForClose();
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
            stopped.countDown();
        }));
        node.start();
        stopped.await();
    }
}

// Lets Node use the proxy of its environment, also fetch, where this version of Node does not by itself.
// Loaded by NODE_OPTIONS=--require, before the program.
'use strict';

const proxy = process.env.HTTPS_PROXY || process.env.https_proxy;

if (proxy && !process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
  const http = require('node:http');
  const https = require('node:https');
  const net = require('node:net');
  const tls = require('node:tls');
  const target = new URL(proxy);
  const proxyHost = target.hostname.replace(/^\[|\]$/g, '');
  const proxyPort = Number(target.port || 80);
  const direct = (process.env.NO_PROXY || process.env.no_proxy || '').split(',').map((name) => name.trim().toLowerCase());

  const isDirect = (host) => {
    const name = String(host || 'localhost').toLowerCase().replace(/^\[|\]$/g, '');
    return direct.some((each) => each && (each === name || (each.startsWith('.') && name.endsWith(each))));
  };

  // A socket that leads through the proxy to host:port, by callback(error, socket).
  const throughProxy = (host, port, callback) => {
    const socket = net.connect(proxyPort, proxyHost);
    let head = Buffer.alloc(0);
    const fail = (error) => {
      socket.destroy();
      callback(error);
    };
    const onEnd = () => fail(new Error(`The proxy ${proxyHost}:${proxyPort} ended the connection to ${host}`));
    const onData = (data) => {
      head = Buffer.concat([head, data]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.removeListener('data', onData);
      socket.removeListener('error', fail);
      socket.removeListener('end', onEnd);
      socket.pause();
      const line = head.subarray(0, end).toString('latin1').split('\r\n')[0];
      const found = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(line);
      if (!found || found[1] !== '200') {
        fail(Object.assign(new Error(found ? found[2] : line), { code: 'ERR_PROXY_REFUSED' }));
        return;
      }
      const rest = head.subarray(end + 4);
      if (rest.length) socket.unshift(rest);
      callback(null, socket);
    };
    socket.once('error', fail);
    socket.once('end', onEnd);
    socket.on('data', onData);
    const name = net.isIPv6(host) ? `[${host}]` : host;
    socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
  };

  // The modules http and https, and all that is built on them.
  for (const [module, isTls] of [[http, false], [https, true]]) {
    const original = module.Agent.prototype.createConnection;
    module.Agent.prototype.createConnection = function createConnection(options, callback) {
      const host = options.host || options.hostname;
      if (options.socketPath || options.socket || isDirect(host) || typeof callback !== 'function') {
        return original.call(this, options, callback);
      }
      throughProxy(host, options.port || (isTls ? 443 : 80), (error, socket) => {
        if (error) callback(error);
        else if (isTls) callback(null, original.call(this, { ...options, socket }));
        else callback(null, socket.resume()); // nothing can come before it is asked for
      });
      return undefined;
    };
  }

  // fetch, and every undici that shares its dispatcher.
  const symbol = Symbol.for('undici.globalDispatcher.1');
  if (typeof globalThis.Headers === 'function') new globalThis.Headers(); // loads the undici inside Node
  const dispatcher = globalThis[symbol];
  if (dispatcher) {
    const connect = (options, callback) => {
      const isTls = options.protocol === 'https:';
      const port = Number(options.port || (isTls ? 443 : 80));
      const secured = (socket) => {
        if (!isTls) {
          socket.setNoDelay(true);
          callback(null, socket);
          return;
        }
        const servername = options.servername || (net.isIP(options.hostname) ? '' : options.hostname);
        const secure = tls.connect({ socket, servername, ALPNProtocols: ['http/1.1'] });
        secure.once('error', callback);
        secure.once('secureConnect', () => {
          secure.removeListener('error', callback);
          callback(null, secure);
        });
      };
      if (isDirect(options.hostname)) {
        const socket = net.connect(port, options.hostname.replace(/^\[|\]$/g, ''));
        socket.once('error', callback);
        socket.once('connect', () => {
          socket.removeListener('error', callback);
          secured(socket);
        });
      } else {
        throughProxy(options.hostname, port, (error, socket) => (error ? callback(error) : secured(socket)));
      }
    };
    const agent = new dispatcher.constructor({ connect });
    Object.defineProperty(globalThis, symbol, { value: agent, writable: true, enumerable: false, configurable: false });
  }
}

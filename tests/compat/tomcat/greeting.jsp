<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
Hello ${empty param.name ? "world" : param.name}, grüße
